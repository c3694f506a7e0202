#!/usr/bin/env python3
"""The tally must not lose a failure."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import run_tests  # noqa: E402

GTEST = """[ RUN      ] A.One
[       OK ] A.One (0 ms)
[ RUN      ] A.Two/3
somewhere.cpp:3: Failure
[  FAILED  ] A.Two/3, where GetParam() = 4 (1 ms)
[ RUN      ] A.Three
[  SKIPPED ] A.Three (0 ms)
[  PASSED  ] 1 test.
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] A.Three
[  FAILED  ] 1 test, listed below:
[  FAILED  ] A.Two/3, where GetParam() = 4
"""


class Tally(unittest.TestCase):
    def count(self, output, succeeded):
        return str(run_tests.count_output(output, succeeded))

    def test_counts_cases_of_a_gtest_program(self):
        self.assertEqual(self.count(GTEST, False), "1 passed, 1 failed, 1 skipped")

    def test_a_crash_is_a_failure(self):
        self.assertEqual(self.count("[ RUN      ] A.One\n[       OK ] A.One (0 ms)\n[ RUN      ] A.Two\n", False),
                         "1 passed, 1 failed")
        self.assertEqual(self.count("", False), "0 passed, 1 failed")

    def test_reads_the_last_tally(self):
        self.assertEqual(self.count("5 passed, 0 failed\n7 passed, 2 failed, 1 skipped\n", False),
                         "7 passed, 2 failed, 1 skipped")

    def test_a_tally_without_failures_cannot_hide_the_exit_status(self):
        self.assertEqual(self.count("5 passed, 0 failed\n", False), "5 passed, 1 failed")

    def test_python_unittest(self):
        self.assertEqual(self.count("Ran 4 tests in 0.1s\n\nOK\n", True), "4 passed, 0 failed")
        self.assertEqual(self.count("Ran 4 tests in 0.1s\n\nFAILED (failures=1, errors=1)\n", False),
                         "2 passed, 2 failed")
        self.assertEqual(self.count("Ran 3 tests in 0.1s\n\nOK (skipped=1)\n", True), "2 passed, 0 failed, 1 skipped")

    def test_silence_is_one_check(self):
        self.assertEqual(self.count("hello\n", True), "1 passed, 0 failed")


if __name__ == "__main__":
    unittest.main()
