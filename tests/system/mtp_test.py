#!/usr/bin/env python3
"""mtp_test.py MAESTRALE: a model's own layer that predicts further tokens is loaded from GGUF, shown, counted,
and changes no answer."""

import json
import unittest

import tiny_models as tiny
from program import SystemTest, run
from server import Server

PROMPT = "the the the a"
LAYERS, RANK, PLAIN, ROTATED, VALUE = 2, 32, 32, 16, 32


def keys():
    plain = {key: value for key, value in tiny.keys().items() if not key.startswith("llama.")}
    sizes = {"block_count": LAYERS + 1, "context_length": 128, "embedding_length": tiny.HIDDEN,
             "feed_forward_length": tiny.FFN, "attention.head_count": tiny.HEADS, "attention.head_count_kv": 1,
             "attention.q_lora_rank": RANK, "attention.kv_lora_rank": RANK, "attention.key_length": RANK + ROTATED,
             "attention.value_length": RANK, "attention.key_length_mla": PLAIN + ROTATED,
             "attention.value_length_mla": VALUE, "rope.dimension_count": ROTATED, "nextn_predict_layers": 1}
    return plain | {"general.architecture": (tiny.STRING, "deepseek2"),
                    "deepseek2.attention.layer_norm_rms_epsilon": (tiny.F32, 1e-6),
                    "deepseek2.rope.freq_base": (tiny.F32, 10000.0)} | {
                        f"deepseek2.{name}": (tiny.U32, size) for name, size in sizes.items()}


def shapes():
    """GGUF name: dimensions, innermost first."""
    hidden, heads = tiny.HIDDEN, tiny.HEADS
    layer = {"attn_norm": [hidden], "attn_q_a": [hidden, RANK], "attn_q_a_norm": [RANK],
             "attn_q_b": [RANK, heads * (PLAIN + ROTATED)], "attn_kv_a_mqa": [hidden, RANK + ROTATED],
             "attn_kv_a_norm": [RANK], "attn_k_b": [PLAIN, RANK, heads], "attn_v_b": [RANK, VALUE, heads],
             "attn_output": [heads * VALUE, hidden], "ffn_norm": [hidden], "ffn_gate": [hidden, tiny.FFN],
             "ffn_up": [hidden, tiny.FFN], "ffn_down": [tiny.FFN, hidden]}
    head = {"eh_proj": [2 * hidden, hidden], "enorm": [hidden], "hnorm": [hidden], "shared_head_norm": [hidden],
            "embed_tokens": [hidden, tiny.VOCABULARY], "shared_head_head": [hidden, tiny.VOCABULARY]}
    named = {f"blk.{index}.{name}": dims for index in range(LAYERS + 1) for name, dims in layer.items()}
    named |= {f"blk.{LAYERS}.nextn.{name}": dims for name, dims in head.items()}
    return named | {"token_embd": [hidden, tiny.VOCABULARY], "output_norm": [hidden],
                    "output": [hidden, tiny.VOCABULARY]}


def gguf(without=""):
    def elements(dims):
        count = 1
        for size in dims:
            count *= size
        return count

    return tiny.gguf(keys(), [tiny.Tensor(f"{name}.weight", dims, tiny.weights(elements(dims), None, name))
                              for name, dims in shapes().items() if name != without])


class MtpTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "model.gguf"
        self.model.write_bytes(gguf())

    def generate(self, *options):
        done = run("generate", self.model, "-p", PROMPT, "-n", "60", "--ignore-end", "--seed", "3", "--json", *options)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def test_answers_are_the_same(self):
        for temperature in ("0", "0.8"):
            guessed = self.generate("--temperature", temperature)
            for options in (("--no-mtp",), ("--drafts", "0"), ("--draft", self.model)):
                self.assertEqual(self.generate("--temperature", temperature, *options)["tokens"], guessed["tokens"])

    def test_a_server_answers_the_same(self):
        body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 60, "temperature": 0, "logprobs": 1}
        answers = []
        for options in ((), ("--no-mtp",)):
            server = Server(self.folder, *options, content=gguf())
            status, answer = server.post("/v1/completions", body)
            server.stop()
            self.assertEqual(status, 200, answer)
            answers.append(json.loads(answer)["choices"])
        self.assertEqual(answers[0], answers[1])

    def inspect(self, *options):
        done = run("inspect", self.model, "--json", *options)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def test_it_is_shown_and_counted(self):
        shown, plain = self.inspect(), self.inspect("--no-mtp")
        self.assertIn("predicts further tokens (MTP", json.dumps(shown))
        self.assertIn("left out", json.dumps(plain))
        self.assertEqual(shown["layers"], LAYERS)
        for key in ("weights", "kv_cache"):
            self.assertGreater(shown["memory"][0][key], plain["memory"][0][key])

    def test_packed_weights_are_of_one_choice(self):
        for options in ((), ("--no-mtp",)):
            done = run("repack", self.model, *options)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            packed = ("--packed", self.folder / "model.gguf.packed", "--temperature", "0")
            self.assertEqual(self.generate(*packed, *options)["tokens"], self.generate("--temperature", "0")["tokens"])

    def test_what_is_missing_is_named(self):
        self.model.write_bytes(gguf(without=f"blk.{LAYERS}.nextn.hnorm"))
        done = run("generate", self.model, "-p", PROMPT)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"blk.{LAYERS}.nextn.hnorm.weight", done.stderr.decode())
        self.generate("--no-mtp")


if __name__ == "__main__":
    unittest.main()
