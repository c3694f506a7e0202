#!/usr/bin/env python3
"""What happens to a model's file while it is served: the service lives, and no answer follows from other bytes."""

import json
import os
import unittest

from serve_on_demand_test import other_model
from server import Server, ServerTest

ASK = {"messages": [{"role": "user", "content": "the hat"}], "temperature": 0, "max_tokens": 12, "ignore_eos": True}


class ModelFiles(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.stop()
        self.other = self.write("other.gguf", other_model())
        self.server = Server(self.folder, str(self.other))
        self.tiny = self.folder / "tiny.gguf"
        self.before = {model: self.ask(model) for model in ("tiny", "other")}

    def ask(self, model):
        status, answer = self.server.post("/v1/chat/completions", ASK | {"model": model})
        value = json.loads(answer)
        return (status, value["choices"] if status == 200 else value["error"]["message"])

    def lives(self):
        self.assertEqual(self.ask("other"), self.before["other"])
        self.assertEqual(self.server.request("GET", "/health")[0], 200)
        self.assertEqual(self.server.stop(), 0)

    def test_removed_or_replaced_it_is_served_on(self):
        self.tiny.unlink()
        self.assertEqual(self.ask("tiny"), self.before["tiny"])
        self.tiny.write_bytes(b"something else")
        self.assertEqual(self.ask("tiny"), self.before["tiny"])
        self.lives()

    def test_cut_short(self):
        os.truncate(self.tiny, 4096)  # none of its weights are left: to read them is a fault
        for _ in range(2):
            status, message = self.ask("tiny")
            self.assertEqual(status, 500)
            self.assertIn("the file changed while it was in use", message)
        self.lives()

    def test_cut_short_in_a_stream(self):
        os.truncate(self.tiny, 4096)
        _, answer = self.server.post("/v1/chat/completions", ASK | {"model": "tiny", "stream": True})
        self.assertIn(b"the file changed while it was in use", answer)
        self.lives()

    def test_written_to(self):
        with self.tiny.open("r+b") as file:
            file.seek(-100, os.SEEK_END)
            file.write(bytes(100))
        status, message = self.ask("tiny")
        self.assertEqual(status, 500)
        self.assertIn("written to since", message)
        self.lives()


if __name__ == "__main__":
    unittest.main()
