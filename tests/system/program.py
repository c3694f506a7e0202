"""Runs the program as a user would, with a limit on time and address space, and holds it to its promises."""

import os
import resource
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = str(Path(sys.argv.pop(1)).resolve()) if len(sys.argv) > 1 else "build/release/maestrale"
SHARED = Path(os.environ.get("MAESTRALE_SHARED") or "../shared")
SANITIZED = b"__asan_init" in Path(PROGRAM).read_bytes() or b"__tsan_init" in Path(PROGRAM).read_bytes()
ADDRESS_SPACE = 4 << 30


def limit_memory():
    if not SANITIZED:  # their shadow memory takes terabytes of addresses
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def run(*arguments, stdin=b"", seconds=120, folder=None):
    return subprocess.run([PROGRAM, *map(os.fsencode, map(lambda a: a if isinstance(a, bytes) else str(a), arguments))],
                          input=stdin, capture_output=True, timeout=seconds, check=False, preexec_fn=limit_memory,
                          cwd=folder)


class SystemTest(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)

    def tearDown(self):
        self.scratch.cleanup()

    def write(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def check_failure(self, done, code, *words):
        """The exit code, one line that starts with the program's name, holds `words`, and no output."""
        error = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, error[-2000:])
        lines = [line for line in error.splitlines() if line.startswith("maestrale: ")]
        self.assertEqual(len(lines), 1, error[-2000:])
        for word in words:
            self.assertIn(word, lines[0])
        self.assertLess(len(lines[0]), 2000)
        self.assertEqual(done.stdout, b"")

    def check_no_crash(self, done):
        """Whatever was in the file: an answer, or one clear error."""
        if done.returncode != 0:
            self.check_failure(done, 1)
