#!/usr/bin/env python3
"""bad_input_test.py MAESTRALE: broken, lying and unreadable files, and wrong parameters, meet the real program.
Each must end with exit code 1 (the world) or 2 (usage) and one clear line."""

import json
import os
import random
import signal
import struct
import subprocess
import unittest

import program  # found beside this file; takes the program's path from the command line
import tiny_models as tiny

GENERATE = ("--prompt", "the the", "-n", "3", "--temperature", "0", "--quiet")


class Files(program.SystemTest):
    def generate(self, path, *arguments):
        return program.run("generate", path, *GENERATE, *arguments)

    def refuse_gguf(self, words, **lies):
        with self.subTest(words=words, lies=sorted(lies)):
            path = self.write("model.gguf", tiny.gguf(**lies))
            self.check_failure(self.generate(path), 1, "model.gguf", *words)

    def refuse_key(self, key, entry, *words):
        metadata = tiny.keys()
        if entry is None:
            del metadata[key]
        else:
            metadata[key] = entry
        self.refuse_gguf(words, metadata=metadata)

    def change_tensor(self, name, change, *words):
        contents = tiny.tensors()
        change(next(tensor for tensor in contents if tensor.name == name))
        self.refuse_gguf(words, contents=contents)


class Gguf(Files):
    def test_the_model_itself_works(self):
        done = self.generate(self.write("model.gguf", tiny.gguf()))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(done.stdout, b"")

    def test_truncated_anywhere(self):
        whole = tiny.gguf()
        cuts = [0, 1, 4, 7, 8, 15, 23, 24, 31, 40] + [len(whole) * i // 20 for i in range(1, 20)] + [len(whole) - 1]
        for cut in cuts:
            with self.subTest(cut=cut):
                self.check_failure(self.generate(self.write("model.gguf", whole[:cut])), 1, "model.gguf")

    def test_flipped_bits(self):
        whole = tiny.gguf()
        noise = random.Random(5)
        header = whole.index(b"blk.0.attn_norm")
        for i in range(50):
            at = noise.randrange(header + 600) if i % 3 else noise.randrange(200)
            flipped = bytearray(whole)
            flipped[at] ^= 1 << noise.randrange(8)
            with self.subTest(at=at):
                self.check_no_crash(self.generate(self.write("model.gguf", bytes(flipped))))

    def test_lying_counts(self):
        for count in (1 << 63, (1 << 64) - 1, 1 << 40, 100000):
            self.refuse_gguf((), tensor_count=count)
            self.refuse_gguf((), key_count=count)
        self.refuse_gguf(("version",), version=9)
        for kind, content in ((tiny.STRING, struct.pack("<Q", 1 << 60)), (tiny.STRING, struct.pack("<Q", (1 << 64) - 1)),
                              (tiny.ARRAY, struct.pack("<IQ", tiny.U32, 1 << 61)),
                              (tiny.ARRAY, struct.pack("<IQ", tiny.STRING, 1 << 40)), (77, b"")):
            self.refuse_key("general.name", (kind, content))
        nested = struct.pack("<IQ", tiny.ARRAY, 1) * 1_000_000
        self.refuse_key("general.name", (tiny.ARRAY, nested))

    def test_lying_tensors(self):
        name = "blk.0.attn_q.weight"

        def set_offset(offset):
            return lambda tensor: setattr(tensor, "offset", offset)

        def set_dims(*dims):
            return lambda tensor: setattr(tensor, "dims", list(dims))

        self.change_tensor(name, set_offset(0), name)  # overlaps the embedding table
        self.change_tensor(name, set_offset(33), name)
        self.change_tensor(name, set_offset(1 << 40), name)
        self.change_tensor(name, set_offset((1 << 64) - 32), name)
        self.change_tensor(name, set_dims((1 << 64) - 64, 64), name)
        self.change_tensor(name, set_dims(1 << 33, 1 << 33), name)
        self.change_tensor(name, set_dims(1 << 62, 4, 4), name)
        self.change_tensor(name, set_dims(0, 64), name)
        self.change_tensor(name, set_dims(*[1] * 100), name)
        self.change_tensor(name, set_dims(32, 64), name, "wrong shape")
        self.change_tensor(name, lambda tensor: setattr(tensor, "kind", 9999), name, "9999")
        self.change_tensor(name, lambda tensor: setattr(tensor, "kind", 4), name)  # a type that GGUF withdrew
        self.change_tensor(name, lambda tensor: setattr(tensor, "name", "blk.0.attn_k.weight"), "blk.0.attn_k.weight")

    def test_missing_and_unclaimed_tensors(self):
        for name in ("token_embd.weight", "blk.0.ffn_down.weight", "output_norm.weight"):
            contents = [tensor for tensor in tiny.tensors() if tensor.name != name]
            self.refuse_gguf((name, "missing"), contents=contents)
        extra = tiny.Tensor("blk.0.surprise.weight", [tiny.HIDDEN], tiny.weights(tiny.HIDDEN, None, 1))
        self.refuse_gguf(("blk.0.surprise.weight",), contents=tiny.tensors() + [extra])

    def test_wrong_settings(self):
        self.refuse_key("general.architecture", (tiny.STRING, "perceptron"), "perceptron")
        self.refuse_key("general.architecture", None, "general.architecture")
        for key in ("block_count", "embedding_length", "feed_forward_length", "attention.head_count"):
            self.refuse_key("llama." + key, None, key)
            self.refuse_key("llama." + key, (tiny.U32, 0), key)
            self.refuse_key("llama." + key, (tiny.I32, -4))
            self.refuse_key("llama." + key, (tiny.STRING, "many"), key)
            self.refuse_key("llama." + key, (tiny.U32, (1 << 32) - 1))
        self.refuse_key("llama.block_count", (tiny.U32, 1_000_000_000), "layers")
        self.refuse_key("llama.attention.head_count_kv", (tiny.U32, 3), "head")
        for wrong in (float("nan"), float("inf"), 0.0, -1.0):
            self.refuse_key("llama.attention.layer_norm_rms_epsilon", (tiny.F32, wrong), "epsilon")
            self.refuse_key("llama.rope.freq_base", (tiny.F32, wrong), "rope")
        self.refuse_key("general.alignment", (tiny.U32, 0), "alignment")
        self.refuse_key("general.alignment", (tiny.U32, 3), "alignment")

    def test_vocabulary_mismatch(self):
        pieces, scores, kinds = tiny.vocabulary()
        metadata = tiny.keys()
        metadata["tokenizer.ggml.tokens"] = (tiny.ARRAY, (tiny.STRING, pieces + [f"more{i}" for i in range(50)]))
        metadata["tokenizer.ggml.scores"] = (tiny.ARRAY, (tiny.F32, scores + [0.0] * 50))
        metadata["tokenizer.ggml.token_type"] = (tiny.ARRAY, (tiny.I32, kinds + [1] * 50))
        self.refuse_gguf(("350", "300"), metadata=metadata)
        self.refuse_key("llama.vocab_size", (tiny.U32, 301), "301", "300")
        self.refuse_key("tokenizer.ggml.scores", (tiny.ARRAY, (tiny.F32, scores[:-1])), "scores")
        self.refuse_key("tokenizer.ggml.bos_token_id", (tiny.U32, 300))

    def test_weights_that_are_not_numbers(self):
        def poison(tensor):
            tensor.data = struct.pack("<f", float("nan")) * (len(tensor.data) // 4)

        self.change_tensor_anywhere("output_norm.weight", poison)

    def change_tensor_anywhere(self, name, change):
        contents = tiny.tensors()
        change(next(tensor for tensor in contents if tensor.name == name))
        path = self.write("model.gguf", tiny.gguf(contents=contents))
        for temperature in ("0", "1"):
            self.check_failure(program.run("generate", path, "-p", "the", "-n", "2", "--temperature", temperature, "-q"), 1,
                               "not a finite number")


class HuggingFace(Files):
    def refuse(self, *words, **wrong):
        with self.subTest(words=words, wrong=sorted(wrong)):
            folder = tiny.write_folder(self.folder / "model", **wrong)
            self.check_failure(program.run("logits", folder, "--tokens", "1,2", "--output", self.folder / "out", "-q"), 1,
                               *words)

    def test_the_model_itself_works(self):
        folder = tiny.write_folder(self.folder / "model")
        done = program.run("logits", folder, "--tokens", "1,2", "--output", self.folder / "out", "-q")
        self.assertEqual(done.returncode, 0, done.stderr)
        gguf = self.write("model.gguf", tiny.gguf())
        other = program.run("logits", gguf, "--tokens", "1,2", "--output", self.folder / "other", "-q")
        self.assertEqual(other.returncode, 0, other.stderr)
        self.assertEqual((self.folder / "out").stat().st_size, 2 * 4 * tiny.VOCABULARY)

    def test_settings(self):
        self.refuse("config.json", settings=b"")
        self.refuse("config.json", settings=b"{\"hidden_size\": ")
        self.refuse("config.json", settings=b"[]")
        self.refuse("config.json", settings=b"[" * 1_000_000)
        self.refuse("config.json", settings=b"{\"a\":" * 1_000_000 + b"1" + b"}" * 1_000_000)
        self.refuse("config.json", settings=b"\xff\xfe{}")
        for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "rms_norm_eps"):
            settings = tiny.config()
            del settings[key]
            self.refuse(key, settings=settings)
            for wrong in (0, -1, 1e300, "x", [], True):
                self.refuse(key, settings={**settings, key: wrong})
        for change in ({"architectures": []}, {"architectures": ["Perceptron"]}, {"vocab_size": 299},
                       {"hidden_act": "tanh"}, {"attention_bias": True}, {"rope_scaling": {"type": "magic", "factor": 2}},
                       {"logit_softcapping": 30.0}, {"num_key_value_heads": 3}, {"head_dim": 31}, {"rope_theta": -1.0},
                       {"quantization_config": {"quant_method": "awq"}}):
            self.refuse(settings={**tiny.config(), **change})

    def test_headers(self):
        whole = tiny.safetensors()
        for cut in [1, 7, 8, 9, 20] + [len(whole) * i // 8 for i in range(1, 8)] + [len(whole) - 1]:
            self.refuse("model.safetensors", weights_file=whole[:cut])
        for length in (0, 1 << 30, 1 << 63, (1 << 64) - 1, 7):
            self.refuse("model.safetensors", weights_file=tiny.safetensors(length=length))
        for header in (b"[]", b"{}", b"{\"a\":" * 1_000_000, b"[" * 1_000_000, b"\0" * 50, b"{\"a\": 1}"):
            self.refuse("model", weights_file=tiny.safetensors(header))

    def test_offsets(self):
        name = "model.layers.0.self_attn.q_proj.weight"
        right = tiny.safetensors_header()[name]
        begin, end = right["data_offsets"]
        for change in ({"data_offsets": [end, begin]}, {"data_offsets": [-1, end]}, {"data_offsets": [begin, end + 4]},
                       {"data_offsets": [begin]}, {"data_offsets": [0, end - begin]}, {"data_offsets": "x"},
                       {"data_offsets": [1 << 62, (1 << 62) + 4]}, {"data_offsets": [begin + 1, end + 1]},
                       {"shape": [-64, -64]}, {"shape": [1 << 40, 1 << 40]}, {"shape": [64]}, {"shape": "x"},
                       {"shape": [1] * 1000}, {"dtype": "F5"}, {"dtype": 5}, {"dtype": "F16"}):
            header = tiny.safetensors_header()
            header[name] = {**right, **change}
            self.refuse("model", weights_file=tiny.safetensors(header))
        for key in ("dtype", "shape", "data_offsets"):
            header = tiny.safetensors_header()
            del header[name][key]
            self.refuse("model", key, weights_file=tiny.safetensors(header))

    def test_missing_and_unclaimed_tensors(self):
        header = tiny.safetensors_header()
        header["model.layers.0.surprise.weight"] = header.pop("model.norm.weight")
        self.refuse("model.norm.weight", weights_file=tiny.safetensors(header))
        header = tiny.safetensors_header()
        header["model.layers.0.mlp.surprise.weight"] = header.pop("lm_head.weight")  # then the head is tied
        self.refuse("surprise", weights_file=tiny.safetensors(header))

    def test_shards(self):
        index = {"weight_map": {name: "model-1.safetensors" for name in tiny.safetensors_header()}}
        self.refuse("model-1.safetensors", weights_file=b"", model__safetensors__index__json=json.dumps(index).encode())
        for shard in ("../../etc/passwd", "/etc/passwd", ".", "", "model.safetensors.index.json"):
            index = {"weight_map": {name: shard for name in tiny.safetensors_header()}}
            self.refuse(weights_file=b"", model__safetensors__index__json=json.dumps(index).encode())
        for text in (b"", b"[]", b"{}", b"{\"weight_map\": []}", b"[" * 1_000_000):
            self.refuse(weights_file=b"", model__safetensors__index__json=text)

    def test_tokenizers(self):
        for text in (b"", b"{}", b"[]", b"[" * 1_000_000, b"{\"model\":" * 1_000_000, b"{\"model\": {\"type\": \"BPE\"}}",
                     b"{\"model\": {\"type\": \"Magic\", \"vocab\": {}}}", b"\xff"):
            with self.subTest(text=text[:40]):
                folder = tiny.write_folder(self.folder / "model", tokenizer__json=text)
                self.check_failure(self.generate(folder), 1, "tokenizer")


class World(Files):
    def test_what_is_no_model(self):
        empty = self.folder / "empty"
        empty.mkdir()
        loop = self.folder / "loop"
        loop.symlink_to(loop)
        for path in (self.folder / "absent", empty, loop, "/dev/null", "/dev/zero", self.write("none.gguf", b""),
                     self.write("text.gguf", b"hello" * 100), self.write("noise.bin", random.Random(1).randbytes(5000))):
            with self.subTest(path=path):
                self.check_failure(self.generate(path), 1)

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_unreadable(self):
        path = self.write("model.gguf", tiny.gguf())
        path.chmod(0)
        self.check_failure(self.generate(path), 1, "model.gguf", "denied")

    def test_a_file_that_shrinks_while_it_is_used(self):
        path = self.write("model.gguf", tiny.gguf())
        child = subprocess.Popen([program.PROGRAM, "generate", str(path), "-p", "the", "--ignore-end", "-c", "100000",
                                  "-n", "90000", "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        child.stdout.read(1)  # it answers
        os.truncate(path, 100)
        try:
            _, error = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            self.fail("still running")
        self.assertEqual(child.returncode, 1, error)
        self.assertIn(b"changed", error)

    def test_a_file_that_vanishes_is_still_there_for_us(self):
        path = self.write("model.gguf", tiny.gguf())
        child = subprocess.Popen([program.PROGRAM, "generate", str(path), "-p", "the", "--ignore-end", "-n", "100", "-q"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        child.stdout.read(1)
        os.unlink(path)
        _, error = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0, error)

    def test_output_that_cannot_be_written(self):
        path = self.write("model.gguf", tiny.gguf())
        for target in ("/dev/full", self.folder / "no" / "such" / "folder"):
            self.check_failure(program.run("logits", path, "--tokens", "1", "--output", target, "-q"), 1)
        self.check_failure(program.run("quantize", path, self.folder / "no" / "such.gguf", "q8_0", "-q"), 1)
        self.check_failure(program.run("quantize", path, path, "q8_0", "-q"), 2, "exists")


class Requests(Files):
    def setUp(self):
        super().setUp()
        self.model = self.write("model.gguf", tiny.gguf())

    def test_prompts(self):
        for prompt in (b"\xff", b"abc\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"tail \xe2\x82"):
            with self.subTest(prompt=prompt):
                self.check_failure(program.run("generate", self.model, "-p", prompt, "-q"), 1, "UTF-8")
                text = self.write("prompt.txt", prompt)
                self.check_failure(program.run("generate", self.model, "-f", text, "-q"), 1, "UTF-8", "prompt.txt")
        self.check_failure(program.run("generate", self.model, "-p", "the " * 500, "-q"), 1, "context", "128")
        self.check_failure(program.run("generate", self.model, "-f", "/dev/zero", "-q"), 1, "/dev/zero")
        self.check_failure(program.run("generate", self.model, "-f", self.folder, "-q"), 1)
        for tokens, code in (("300", 1), ("1,-1", 1), ("99999999999", 2), ("1,,2", 2), ("x", 2), ("", 2)):
            with self.subTest(tokens=tokens):
                done = program.run("logits", self.model, "--tokens", tokens, "--output", self.folder / "out", "-q")
                self.assertIn(done.returncode, (code, 2))
                self.check_failure(done, done.returncode)
        done = program.run("generate", self.model, "-p", "", "-n", "2", "-q")
        self.assertIn(done.returncode, (0, 2))

    def test_parameters(self):
        wrong = {"--temperature": ("nan", "inf", "-0.1", "101", "x", ""), "--top-p": ("nan", "0", "1.1", "-1"),
                 "--min-p": ("nan", "-0.1", "1.1"), "--typical-p": ("0", "nan", "2"), "--top-k": ("-1", "1.5", "x"),
                 "--repetition-penalty": ("0", "nan", "-1", "101"), "--presence-penalty": ("nan", "1e9"),
                 "--frequency-penalty": ("nan", "-1e9"), "--penalty-window": ("-2", "x"),
                 "--logit-bias": ("x", "5", "5=nan", "=1", "-1=1"), "--max-tokens": ("-1", "1e3", "99999999999999999999"),
                 "--logprobs": ("-1", "1001"), "--threads": ("0", "-1", "1000000", "x"), "--context": ("0", "-5", "9e9"),
                 "--seed": ("-1", "x", "99999999999999999999999"), "--memory": ("x", "-1GB", "nan"),
                 "--kv-type": ("q4", "F17"), "--isa": ("sse9",), "--stop": ("",)}
        for option, values in wrong.items():
            for text in values:
                with self.subTest(option=option, value=text):
                    done = program.run("generate", self.model, "-p", "the", "-n", "1", "-q", f"{option}={text}")
                    self.check_failure(done, 2)

    def test_memory(self):
        self.check_failure(program.run("generate", self.model, "-p", "the", "--memory", "1MB", "-q"), 1, "fit")
        self.check_failure(program.run("generate", self.model, "-p", "the", "-c", "16000000", "--memory", "1GB", "-q"), 1,
                           "fit", "--context")

    def test_templates(self):
        conversation = self.write("chat.json", b"[{\"role\": \"user\", \"content\": \"hi\"}]")
        for source in (b"{% for %}", b"{{ unclosed", b"{% if x %}", b"{{ 1/0 }}", b"{{ raise_exception('no') }}",
                       b"{% for i in range(100000000000) %}x{% endfor %}", b"{{ 'x' * 10000000000 }}", b"{{ " + b"(" * 100000,
                       b"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", b"\xff"):
            with self.subTest(source=source[:40]):
                path = self.write("t.jinja", source)
                self.check_failure(program.run("template", path, "--input", conversation), 1)
        path = self.write("t.jinja", b"{{ messages }}")
        for text in (b"", b"{", b"[" * 1_000_000, b"5", b"\xff"):
            with self.subTest(text=text[:10]):
                self.check_failure(program.run("template", path, "--input", self.write("bad.json", text)), 1)


if __name__ == "__main__":
    unittest.main()
