#!/usr/bin/env python3
"""llama2c_test.py MAESTRALE: llama2.c's small real models give the logits that llama2.c's own program printed, step by
step. A dump is records of {int32 token, int32 position, float32 logits[vocabulary]}; summation order costs about 1e-4."""

import struct
import unittest
from array import array

import program  # found beside this file; takes the program's path from the command line

DUMPS = {  # name: (model, vocabulary)
    "stories260K": ("stories260K.bin", 512),
    "stories260K_nopr": ("stories260K.bin", 512),
    "babyllama936K": ("babyllama_tok105_936K.bin", 105),
    "llama2xs279K": ("llama2xs_279K.bin", 512),
}
TOLERANCE = 2e-4


def largest(row):
    return max(range(len(row)), key=row.__getitem__)


class Llama2cTest(program.SystemTest):
    def compare(self, name, model, vocabulary):
        data = (program.SHARED / "data/goldens/llama2c_logits" / f"{name}.bin").read_bytes()
        record = 8 + 4 * vocabulary
        steps = len(data) // record
        self.assertEqual(len(data), steps * record)
        tokens = [struct.unpack_from("<i", data, step * record)[0] for step in range(steps)]
        out = self.folder / name
        done = program.run("logits", program.SHARED / "data/models" / model, "--tokens", ",".join(map(str, tokens)),
                           "--output", out, "--kv-type", "f32", "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        ours = array("f", out.read_bytes())
        self.assertEqual(len(ours), steps * vocabulary)
        for step in range(steps):
            expected = array("f", data[step * record + 8:(step + 1) * record])
            found = ours[step * vocabulary:(step + 1) * vocabulary]
            worst = max(abs(a - b) for a, b in zip(expected, found))
            self.assertLess(worst, TOLERANCE, f"{name}, position {step}")
            best = largest(expected)
            self.assertLess(expected[best] - expected[largest(found)], TOLERANCE, f"{name}, position {step}")

    def test_logits(self):
        if not (program.SHARED / "data/goldens/llama2c_logits").is_dir():
            self.skipTest("no shared data")
        for name, (model, vocabulary) in DUMPS.items():
            with self.subTest(name):
                self.compare(name, model, vocabulary)


if __name__ == "__main__":
    unittest.main()
