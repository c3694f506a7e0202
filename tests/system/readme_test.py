#!/usr/bin/env python3
"""readme_test.py MAESTRALE: the commands that README.md shows are commands of the program, options included."""

import re
import shlex
import tempfile
import unittest
from pathlib import Path

import program  # found beside this file; takes the program's path from the command line

README = Path(__file__).resolve().parents[2] / "README.md"


class Readme(program.SystemTest):
    def test_commands(self):
        lines = re.findall(r"^build/release/maestrale (.*)$", README.read_text(), re.MULTILINE)
        self.assertGreater(len(lines), 5)
        for line in lines:
            arguments = shlex.split(line.replace("<", "#"), comments=True)
            if "--preset" in arguments:
                self.assertIn(arguments[arguments.index("--preset") + 1], program.run("bench", "--help").stdout.decode())
                continue
            with self.subTest(line=line):
                # In an empty folder there is no file of the name MODEL or IN: what is left to complain of is just that.
                with tempfile.TemporaryDirectory() as folder:
                    done = program.run(*arguments, folder=folder)
                if arguments[:2] == ["keys", "create"]:  # makes its file
                    self.assertEqual(done.returncode, 0, done.stderr)
                    continue
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, b"[Nn]o such file")


if __name__ == "__main__":
    unittest.main()
