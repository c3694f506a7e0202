#!/usr/bin/env python3
"""memory_test.py MAESTRALE: the program takes what its memory plan said it would, within five per cent."""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import program  # found beside this file; takes the program's path from the command line
import tiny_models as tiny

HIDDEN, FFN, HEADS, LAYERS, VOCABULARY = 512, 2048, 8, 8, 8000
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}
F16_TENSOR, Q8_0_TENSOR = 1, 8


def matrix(name, rows, columns, kind):
    """Finite weights of no meaning: one block over and over."""
    if kind == F16_TENSOR:
        return tiny.Tensor(name, [columns, rows], b"\x00\x1c\x00\x9c" * (rows * columns // 2), kind)
    return tiny.Tensor(name, [columns, rows], (b"\x00\x0c" + bytes(range(32))) * (rows * columns // 32), kind)


def vector(name, size):
    return tiny.Tensor(name, [size], b"\x00\x00\x80\x3f" * size)


def model(kind):
    """About 42 million parameters."""
    pieces, scores, kinds = tiny.vocabulary()
    more = VOCABULARY - len(pieces)
    metadata = tiny.keys()
    metadata.update({
        "llama.block_count": (tiny.U32, LAYERS),
        "llama.context_length": (tiny.U32, 16384),
        "llama.embedding_length": (tiny.U32, HIDDEN),
        "llama.feed_forward_length": (tiny.U32, FFN),
        "llama.attention.head_count": (tiny.U32, HEADS),
        "llama.attention.head_count_kv": (tiny.U32, HEADS),
        "llama.rope.dimension_count": (tiny.U32, HIDDEN // HEADS),
        "tokenizer.ggml.tokens": (tiny.ARRAY, (tiny.STRING, pieces + [f"y{i}" for i in range(more)])),
        "tokenizer.ggml.scores": (tiny.ARRAY, (tiny.F32, scores + [-1e6] * more)),
        "tokenizer.ggml.token_type": (tiny.ARRAY, (tiny.I32, kinds + [1] * more)),
    })
    tensors = [matrix("token_embd.weight", VOCABULARY, HIDDEN, kind)]
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        tensors += [vector(prefix + "attn_norm.weight", HIDDEN), vector(prefix + "ffn_norm.weight", HIDDEN)]
        tensors += [matrix(prefix + name + ".weight", rows, columns, kind) for name, rows, columns in (
            ("attn_q", HIDDEN, HIDDEN), ("attn_k", HIDDEN, HIDDEN), ("attn_v", HIDDEN, HIDDEN),
            ("attn_output", HIDDEN, HIDDEN), ("ffn_gate", FFN, HIDDEN), ("ffn_up", FFN, HIDDEN),
            ("ffn_down", HIDDEN, FFN))]
    tensors += [vector("output_norm.weight", HIDDEN), matrix("output.weight", VOCABULARY, HIDDEN, kind)]
    return tiny.gguf(metadata, tensors)


@unittest.skipIf(program.SANITIZED, "a sanitizer's shadow memory is not in the plan")
class Memory(program.SystemTest):
    def peak_and_plan(self, *arguments):
        with open(self.folder / "error", "wb") as error:
            child = subprocess.Popen([program.PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=error)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        text = (self.folder / "error").read_text(errors="replace")
        self.assertEqual(child.returncode, 0, text)
        plan = re.search(r"^memory: .* = ([0-9.]+) ([kMG]B)$", text, re.MULTILINE)
        self.assertIsNotNone(plan, text)
        return usage.ru_maxrss * 1024, float(plan.group(1)) * UNITS[plan.group(2)], plan.group(0)

    def check(self, *arguments):
        peak, planned, line = self.peak_and_plan(*arguments)
        with self.subTest(arguments=arguments):
            self.assertLess(abs(peak - planned), 0.05 * planned, f"peak {peak / 1e6:.1f} MB; {line}")

    def generate(self, path, prompt, context, kv_type, threads):
        # Greedy: the table of embeddings stays in the file, and rows drawn at random show up to 2 MiB of it each.
        self.check("generate", path, "-p", prompt, "-n", "4", "--temperature", "0", "--ignore-end", "-c", context,
                   "--kv-type", kv_type, "-t", threads)

    def test_generate(self):
        for kind in (F16_TENSOR, Q8_0_TENSOR):
            path = self.folder / "model.gguf"
            # By a process of its own: a child's peak counts what its parent held when it was started.
            subprocess.run([sys.executable, __file__, program.PROGRAM, "--write", str(kind), str(path)], check=True)
            for context, kv_type, threads in ((256, "f16", 1), (4096, "f16", 2), (8192, "q8", 4), (2048, "f32", 1)):
                self.generate(path, "the the", context, kv_type, threads)
            self.generate(path, "the " * 200, 2048, "f16", 2)

    def test_a_preset(self):
        self.check("bench", "--preset", "qwen3-0.6b", "--format", "q4_0", "--prefill-tokens", "16", "--depth", "0",
                   "--sequences", "1", "--decode-tokens", "1", "--repetitions", "1", "-t", "2")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        Path(sys.argv[3]).write_bytes(model(int(sys.argv[2])))
    else:
        unittest.main()
