#!/usr/bin/env python3
"""The symbol check must be able to fail."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import isa_symbols  # noqa: E402

LISTING = """0000000000000000 W void maestrale::kernels::matmul<maestrale::simd::Avx512>(int)
0000000000000010 T maestrale::kernels::avx512_table()
                 U memcpy
0000000000000000 r a_local_constant
0000000000000000 u guard of something
0000000000000040 W maestrale::kernels::kv_head_layout(int, int)
"""


class Symbols(unittest.TestCase):
    def test_finds_what_is_not_the_sets_own(self):
        self.assertEqual(isa_symbols.strangers(LISTING, "avx512"),
                         ["guard of something", "maestrale::kernels::kv_head_layout(int, int)"])
        self.assertEqual(len(isa_symbols.strangers(LISTING, "avx2")), 4)


if __name__ == "__main__":
    unittest.main()
