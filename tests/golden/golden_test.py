#!/usr/bin/env python3
"""golden_test.py MAESTRALE_GOLDEN: the golden runner must pass what is right and fail what is not."""

import base64
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

RUNNER = str(Path(sys.argv.pop(1)).resolve()) if len(sys.argv) > 1 else "build/release/maestrale-golden"
SHARED = Path(os.environ.get("MAESTRALE_SHARED") or "../shared")


class Golden(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, data):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def run_golden(self, *arguments):
        done = subprocess.run([RUNNER, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, done.stdout + done.stderr

    def expect(self, status, last_line, *arguments):
        code, output = self.run_golden(*arguments)
        self.assertEqual(output.strip().splitlines()[-1], last_line, output)
        self.assertEqual(code, status, output)
        return output

    def write_quants(self, values):
        index = {"types": [{"name": "f16"}], "fp8": [{"name": "fp8", "shape": [2, 3]}]}
        self.write("golden/quants/index.json", json.dumps(index))
        self.write("golden/quants/f16.bin", struct.pack("<4e", 1, -2, 0.5, 65504))
        self.write("golden/quants/f16.f32", struct.pack("<4f", *values))
        self.write("golden/quants/fp8.bin", bytes([0x38] * 6))  # six times 1.0
        self.write("golden/quants/fp8.scale_inv.f32", struct.pack("<f", 0.25))
        self.write("golden/quants/fp8.f32", struct.pack("<6f", *[0.25] * 6))

    def test_quants(self):
        self.write_quants([1, -2, 0.5, 65504])
        self.expect(0, "2 passed, 0 failed", self.root / "golden")
        self.expect(0, "1 passed, 0 failed", self.root / "golden/quants", "--only", "f16")
        self.write_quants([1, -2, 0.5, 65504.01])
        output = self.expect(1, "1 passed, 1 failed", self.root / "golden")
        self.assertIn("FAIL quants/f16: 1 of 4 values differ", output)

    def write_templates(self, rendered):
        self.write("data/chat_templates/a.jinja", "{% if not messages %}{{ raise_exception('none') }}{% endif %}"
                                                  "{{ bos_token }}{{ messages[0].content }}\n")
        conversation = {"messages": [{"role": "user", "content": "é"}], "tools": None, "add_generation_prompt": True,
                        "bos_token": "<s>", "eos_token": "</s>", "extra": {}}
        cases = [{"template": "a.jinja", "id": "a", "conversation": conversation, "rendered": rendered},
                 {"template": "a.jinja", "id": "b", "conversation": {**conversation, "messages": []},
                  "error": {"kind": "raise_exception", "message": "none"}}]
        lines = "".join(json.dumps(case) + "\n" for case in cases)
        self.write("golden/templates/cases.jsonl.gz", gzip.compress(lines.encode()))

    def test_templates(self):
        arguments = [self.root / "golden", "--data", self.root / "data"]
        self.write_templates("<s>é")
        self.expect(0, "2 passed, 0 failed", *arguments)
        self.write_templates("<s>e")
        output = self.expect(1, "1 passed, 1 failed", *arguments)
        self.assertIn("FAIL templates/a.jinja/a", output)

    def write_tokenizer(self, ids):
        tokens = [bytes([i]) for i in range(256)] + [b"ab"]
        ranks = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
        self.write("data/tokenizers/tiny.tiktoken", ranks)
        case_file = {"vocab": "tiny.tiktoken", "with_add_special": {"prefix": [], "suffix": []},
                     "pattern": r"\p{L}+|[^\p{L}]+", "special_tokens": {"<end>": 257},
                     "cases": [{"text": "abc", "ids": ids}, {"hex": "ff61", "ids": []},
                               {"text": "<end>", "ids": list(b"<end>"), "ids_parse_special": [257]}]}
        self.write("golden/tokenizers/tiny.json.gz", gzip.compress(json.dumps(case_file).encode()))

    def test_tokenizers(self):
        arguments = [self.root / "golden", "--data", self.root / "data"]
        self.write_tokenizer([256, ord("c")])
        self.expect(0, "3 passed, 0 failed", *arguments)
        self.write_tokenizer([ord("a"), ord("b"), ord("c")])
        output = self.expect(1, "2 passed, 1 failed", *arguments)
        self.assertIn("FAIL tokenizers/tiny/0: encode differs from place 0", output)

    def test_architectures(self):
        original = SHARED / "golden/arch/llama2-A"
        if not original.is_dir():
            self.skipTest(f"no golden model at {original}")
        copy = self.root / "golden/arch/llama2-A"
        shutil.copytree(original, copy)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)
        self.expect(0, "2 passed, 0 failed", self.root / "golden", "--isa", "ref")
        logits = bytearray((copy / "expected.f32").read_bytes())
        logits[-4:] = struct.pack("<f", struct.unpack("<f", logits[-4:])[0] + 0.25)
        (copy / "expected.f32").write_bytes(logits)
        output = self.expect(1, "0 passed, 2 failed", copy, "--isa", "ref")
        self.assertIn("logits differ from expected.f32 by 0.2", output)

    def test_bad_folders(self):
        self.assertEqual(self.run_golden(self.root)[0], 2)
        self.assertEqual(self.run_golden(self.root / "none")[0], 2)
        self.expect(0, "0 passed, 0 failed, 1 skipped", self.root / "none", "--if-present")
        self.write("golden/quants/index.json", "{")
        self.expect(1, "0 passed, 1 failed", self.root / "golden")
        self.write("golden/quants/index.json", "[]")
        self.expect(1, "0 passed, 1 failed", self.root / "golden")


if __name__ == "__main__":
    unittest.main()
