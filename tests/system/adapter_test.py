#!/usr/bin/env python3
"""Adapters (LoRA): one change as a PEFT folder, as a GGUF adapter and merged into the weights of a model gives the same
logits, beside Hugging Face folders and beside GGUF files with their other order of rows."""

import json
import struct
import unittest
from array import array

import tiny_models
from program import SystemTest, run
from server import Server
from tiny_models import F32, FFN, HEADS, HIDDEN, SHAPES, STRING, Tensor

RANK, ALPHA, TOKENS = 3, 6.0, "1,260,261,262,270,263,3"
TARGETS = {"blk.0.attn_q.weight": (HIDDEN, HIDDEN), "blk.0.attn_k.weight": (HIDDEN, HIDDEN),
           "blk.0.attn_output.weight": (HIDDEN, HIDDEN), "blk.0.ffn_down.weight": (HIDDEN, FFN)}


def floats(data):
    return array("f", data)


def sides(name, rows, columns):
    return (floats(tiny_models.weights(RANK, columns, name + "a")), floats(tiny_models.weights(rows, RANK, name + "b")))


def merged(name, strength):
    """The weight of a Hugging Face folder with scale · B A added, and strength times that."""
    _, rows, columns = SHAPES[name]
    values = floats(tiny_models.weights(rows, columns, SHAPES[name][0]))
    if name in TARGETS and strength:
        a, b = sides(name, rows, columns)
        for row in range(rows):
            for column in range(columns):
                change = sum(b[row * RANK + r] * a[r * columns + column] for r in range(RANK))
                values[row * columns + column] += strength * ALPHA / RANK * change
    return values


def paired(values, columns):
    """Rows of halves of a head -> rows of rotated pairs, as GGUF files of llama have them."""
    head = HIDDEN // HEADS
    out = array("f")
    for row in range(HIDDEN):
        within = row % head
        start = (row - within + within // 2 + within % 2 * (head // 2)) * columns
        out.extend(values[start:start + columns])
    return out


def is_paired(name):
    return "attn_q" in name or "attn_k" in name


def safetensors(tensors):
    header, data = {}, b""
    for name, shape, values in tensors:
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class AdapterTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.gguf = self.write("model.gguf", tiny_models.gguf(contents=[
            Tensor(name, [rows] if columns is None else [columns, rows],
                   (paired(merged(name, 0), columns) if is_paired(name) else merged(name, 0)).tobytes())
            for name, (_, rows, columns) in SHAPES.items()]))
        self.hugging_face = self.model("base", 0)
        self.peft = self.write_peft("peft")

    def model(self, name, strength):
        return tiny_models.write_folder(self.folder / name, weights_file=safetensors(
            [(names[0], [names[1]] if names[2] is None else list(names[1:]), merged(canonical, strength))
             for canonical, names in SHAPES.items()]))

    def write_peft(self, name, settings=None, targets=None):
        folder = self.folder / name
        folder.mkdir()
        tensors = []
        for canonical, (rows, columns) in (targets or TARGETS).items():
            module = "base_model.model." + SHAPES[canonical][0].removesuffix(".weight")
            a, b = sides(canonical, rows, columns)
            tensors += [(module + ".lora_A.weight", [RANK, columns], a), (module + ".lora_B.weight", [rows, RANK], b)]
        (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
        (folder / "adapter_config.json").write_text(json.dumps(
            {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", "use_dora": False, **(settings or {})}))
        return folder

    def write_gguf_adapter(self, architecture="llama"):
        keys = {"general.type": (STRING, "adapter"), "general.architecture": (STRING, architecture),
                "adapter.type": (STRING, "lora"), "adapter.lora.alpha": (F32, ALPHA)}
        tensors = []
        for name, (rows, columns) in TARGETS.items():
            a, b = sides(name, rows, columns)
            b = paired(b, RANK) if is_paired(name) else b
            tensors += [Tensor(name + ".lora_a", [columns, RANK], a.tobytes()),
                        Tensor(name + ".lora_b", [RANK, rows], b.tobytes())]
        return self.write(f"adapter-{architecture}.gguf", tiny_models.gguf(keys, tensors))

    def logits(self, model, *adapters):
        out = self.folder / "logits"
        options = [word for adapter in adapters for word in ("--adapter", adapter)]
        done = run("logits", model, "--tokens", TOKENS, "-o", out, "-q", *options)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return floats(out.read_bytes())

    def check_near(self, first, second, tolerance=2e-4):
        self.assertLess(max(abs(a - b) for a, b in zip(first, second, strict=True)), tolerance)

    def test_every_form_of_a_change_gives_the_same_logits(self):
        base, expected = self.logits(self.hugging_face), self.logits(self.model("merged", 1))
        self.assertGreater(max(abs(a - b) for a, b in zip(base, expected)), 0.05)
        self.check_near(self.logits(self.gguf), base)
        self.check_near(self.logits(self.hugging_face, self.peft), expected)
        self.check_near(self.logits(self.gguf, self.peft), expected)
        self.check_near(self.logits(self.gguf, self.write_gguf_adapter()), expected)

    def test_strengths_add_up(self):
        expected = self.logits(self.model("merged", 0.75))
        self.check_near(self.logits(self.hugging_face, f"{self.peft}=0.75"), expected)
        self.check_near(self.logits(self.hugging_face, f"{self.peft}=0.5", f"{self.peft}=0.25"), expected)
        self.assertEqual(self.logits(self.gguf, f"{self.peft}=0"), self.logits(self.gguf))

    def test_commands_that_run_a_model_know_adapters(self):
        text = self.write("text", b"the he the he the " * 20)
        for command in (("generate", self.gguf, "-p", "the", "-n", 4, "--temperature", 0),
                        ("perplexity", self.gguf, "-f", text)):
            plain = run(*command, "--json", "-q").stdout
            adapted = run(*command, "--json", "-q", "--adapter", self.peft)
            self.assertEqual(adapted.returncode, 0, adapted.stderr.decode())
            self.assertNotEqual(json.loads(adapted.stdout), json.loads(plain))

    def test_the_server_has_adapters_as_models_of_their_own(self):
        server = Server(self.folder, "--adapter", f"tuned={self.peft}", "--adapter", f"half@tiny={self.peft}=0.5")
        try:
            def ask(model, **more):
                body = {"model": model, "prompt": "the he the he " * 12, "max_tokens": 12, "temperature": 0, "logprobs": 1,
                        "ignore_eos": True}
                status, answer = server.post("/v1/completions", body | more)
                self.assertEqual(status, 200, answer)
                value = json.loads(answer)
                return value["choices"], value["usage"]["prompt_tokens_details"]["cached_tokens"]

            names = [m["id"] for m in json.loads(server.request("GET", "/v1/models")[2])["data"]]
            self.assertEqual(names, ["tiny", "tuned", "half"])
            base, cached = ask("tiny")
            self.assertEqual(cached, 0)
            tuned, cached = ask("tuned")
            self.assertEqual(cached, 0, "the base's prefix is none of the adapter's")
            half, cached = ask("half")
            self.assertEqual(cached, 0)
            self.assertEqual(len({json.dumps(c) for c in (base, tuned, half)}), 3)
            for model, answer in (("tuned", tuned), ("tiny", base), ("half", half)):
                again, cached = ask(model)
                self.assertEqual(again, answer)
                self.assertGreater(cached, 0)
            for options, answer in (((), base), (("--adapter", self.peft), tuned), (("--adapter", f"{self.peft}=0.5"), half)):
                done = run("generate", self.folder / "tiny.gguf", "-p", "the he the he " * 12, "-n", 12, "--temperature", 0,
                           "--json", "-q", "--ignore-end", *options)
                self.assertEqual(json.loads(done.stdout)["text"], answer[0]["text"])
        finally:
            self.assertEqual(server.stop(), 0)

    def test_what_the_server_refuses(self):
        tiny = self.write("tiny.gguf", tiny_models.gguf())
        for adapter, word in ((f"tuned@other={self.peft}", "other"), (f"tiny={self.peft}", "one name"),
                              (f"={self.peft}", "NAME=PATH"), ("tuned", "NAME=PATH")):
            self.check_failure(run("serve", tiny, "--port", 0, "-q", "--adapter", adapter), 2, word)
        self.check_failure(run("serve", "--embed", tiny, "--port", 0, "-q", "--adapter", f"a={self.peft}"), 1, "embeds")
        self.check_failure(run("serve", tiny, "--port", 0, "-q", "--adapter", "a=nowhere"), 1, "no such adapter")
        self.check_failure(run("serve", "-q"), 2, "MODEL")

    def test_what_is_refused(self):
        def refused(adapter, *words, model=self.gguf, code=1):
            done = run("generate", model, "-p", "the", "-n", 1, "-q", "--adapter", adapter)
            self.check_failure(done, code, *words)

        refused("nowhere", "no such adapter")
        refused(self.hugging_face, "no adapter in this folder")
        refused(f"{self.peft}=much", "--adapter", code=2)
        for key in ("use_dora", "fan_in_fan_out"):
            refused(self.write_peft(key, {key: True}), key)
        refused(self.write_gguf_adapter("qwen2"), "another architecture", "qwen2")
        refused(self.write_gguf_adapter(), "goes with a GGUF model", model=self.hugging_face)
        refused(self.write_peft("wide", targets={"blk.0.ffn_down.weight": (HIDDEN, FFN + 1)}), "wrong shape",
                "layers.0.mlp.down_proj", "another base")
        refused(self.write_peft("head", targets={"output.weight": (tiny_models.VOCABULARY, HIDDEN)}), "lm_head")
        data = (self.peft / "adapter_model.safetensors").read_bytes()
        (self.peft / "adapter_model.safetensors").write_bytes(data[:-5])
        refused(self.peft, "adapter_model.safetensors")


if __name__ == "__main__":
    unittest.main()
