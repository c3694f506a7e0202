#!/usr/bin/env python3
"""Settings of `serve` from flags, the environment and a file."""

import json
import os
import subprocess
import unittest

from program import PROGRAM, SystemTest

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRALE_")}


class Config(SystemTest):
    def run_with(self, variables, *arguments):
        return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=60, check=False, env=CLEAN | variables)

    def settings(self, variables, *arguments):
        done = self.run_with(variables, "config", "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return {setting["name"]: setting for setting in json.loads(done.stdout)}

    def test_what_is_in_force_and_from_where(self):
        file = self.write("serve.toml", b'models = ["a.gguf"]\nport = 1\nqueue = 2\nchunk = 3\nlog-requests = true\n')
        found = self.settings({"MAESTRALE_PORT": "9", "MAESTRALE_QUEUE": "10"}, "--config", file, "--queue", "20", "--api-key", "secret-key")
        shown = {name: (found[name]["values"], found[name]["source"]) for name in ("port", "queue", "chunk", "models", "host", "api-key")}
        self.assertEqual(shown, {"port": (["9"], "MAESTRALE_PORT"), "queue": (["20"], "command line"), "chunk": (["3"], f"{file}:4"),
                                 "models": (["a.gguf"], f"{file}:1"), "host": ([], "default"), "api-key": (["…"], "command line")})
        self.assertTrue(found["host"]["default"].startswith("127.0.0.1"))

    def test_what_it_prints_is_a_file_that_says_the_same(self):
        file = self.write("serve.toml", b'models = ["a b.gguf", "c.gguf"]\nhost = "::1"\nmemory = "8GB"\ndrain = 2.5\n')
        printed = self.run_with({"MAESTRALE_ALLOW_HOST": "one,two"}, "config", "--config", file).stdout
        again = self.write("again.toml", printed)
        before = self.settings({"MAESTRALE_ALLOW_HOST": "one,two"}, "--config", file)
        after = self.settings({}, "--config", again)
        self.assertEqual({name: setting["values"] for name, setting in before.items()},
                         {name: setting["values"] for name, setting in after.items()})

    def test_serve_uses_it(self):
        file = self.write("serve.toml", b'models = ["/no/such/model.gguf"]\n')
        self.check_failure(self.run_with({}, "serve", "--config", file), 1, "/no/such/model.gguf")
        self.check_failure(self.run_with({"MAESTRALE_CONFIG": str(file)}, "serve"), 1, "/no/such/model.gguf")
        self.check_failure(self.run_with({}, "serve"), 2, "no model to serve")

    def test_mistakes_are_named(self):
        def refused(text, *words, variables=None):
            file = self.write("serve.toml", text)
            self.check_failure(self.run_with(variables or {}, "config", "--config", file), 2, *words)

        refused(b"prot = 1", "serve.toml:1", "'prot'", "'port'")
        refused(b"kv_tokens = 1", "'kv-tokens'")
        refused(b"\n\nport = 70000", "serve.toml:3", "--port", "65535")
        refused(b"port = [1]", "a list")
        refused(b"port = {}", "a table")
        refused(b"port == 1", "not TOML")
        refused(b"port = 1\nport = 2", "not TOML")
        refused(b"\xff = 1", "not TOML")
        refused(b"log-requests = 'yes'", "true or false")
        refused(b"", "MAESTRALE_PRT", "MAESTRALE_PORT", variables={"MAESTRALE_PRT": "1"})
        refused(b"", "MAESTRALE_LOG_REQUESTS", "true or false", variables={"MAESTRALE_LOG_REQUESTS": "1"})
        self.check_failure(self.run_with({}, "config", "--config", self.folder / "none.toml"), 1, "none.toml")


if __name__ == "__main__":
    unittest.main()
