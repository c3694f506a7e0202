#!/usr/bin/env python3
"""Models that the server loads on demand and unloads for others, with files that vanish, and packed weights."""

import json
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

import tiny_models as tiny
from memory_test import Q8_0_TENSOR
from program import PROGRAM, SANITIZED, run
from server import Server, ServerTest

ASK = {"messages": [{"role": "user", "content": "the hat"}], "temperature": 0.7, "seed": 3, "max_tokens": 12, "ignore_eos": True,
       "logprobs": True, "top_logprobs": 5}


def other_model(context=128):
    """As the tiny model, with other weights."""
    contents = [tiny.Tensor(name, [rows] if columns is None else [columns, rows], tiny.weights(rows, columns, name + "2"))
                for name, (_, rows, columns) in tiny.SHAPES.items()]
    return tiny.gguf(tiny.keys() | {"llama.context_length": (tiny.U32, context)}, contents)


class OnDemand(ServerTest):
    def setUp(self):
        super().setUp()  # the server that has both loaded
        self.other = self.write("other.gguf", other_model())
        self.server.stop()

    def serve(self, *options):
        if self.server.process.poll() is None:
            self.server.stop()
        self.server = Server(self.folder, str(self.other), *options)

    def ask(self, model, status=200):
        found, answer = self.server.post("/v1/chat/completions", ASK | {"model": model})
        self.assertEqual(found, status, answer)
        value = json.loads(answer)
        return value["choices"] if status == 200 else value["error"]["message"]

    def loaded(self):
        return {model["name"]: model["size"] for model in json.loads(self.server.request("GET", "/api/ps")[2])["models"]}

    def await_loaded(self, *names):
        for _ in range(200):
            if set(self.loaded()) == set(names):
                break
            time.sleep(0.02)
        self.assertEqual(set(self.loaded()), set(names))

    def unload(self, model):
        status, answer = self.server.post("/api/generate", {"model": model, "keep_alive": 0})
        self.assertEqual((status, json.loads(answer)["done_reason"]), (200, "unload"))
        self.await_loaded()

    def test_the_same_bits_after_unloading(self):
        self.serve()
        expected = {name: self.ask(name) for name in ("tiny", "other")}
        self.assertNotEqual(expected["tiny"], expected["other"])
        shown = [self.server.post("/api/show", {"model": name})[1].split(b'"modified_at"')[0] for name in expected]
        listed = self.server.request("GET", "/v1/models")[2]
        self.serve("--on-demand")
        self.assertEqual(self.loaded(), {})
        self.assertEqual([self.server.post("/api/show", {"model": name})[1].split(b'"modified_at"')[0] for name in expected], shown)
        self.assertEqual(len(self.server.request("GET", "/v1/models")[2]), len(listed))
        self.assertEqual(self.loaded(), {})
        for _ in range(3):
            for name, answer in expected.items():
                self.assertEqual(self.ask(name), answer)
                self.assertEqual(self.ask(name), answer)  # from its cached prefix
                self.unload(name)
        self.assertEqual(self.server.metric("maestrale_model_unloads_total"), 6)
        self.assertEqual(self.server.stop(), 0)

    def test_memory_for_one(self):
        self.serve("--on-demand")
        expected = {name: self.ask(name) for name in ("tiny", "other")}
        sizes = self.loaded()
        self.assertEqual(set(sizes), set(expected))
        self.serve("--on-demand", "--memory", str(max(sizes.values()) + min(sizes.values()) // 2))
        for name in ("tiny", "other", "tiny"):
            self.assertEqual(self.ask(name), expected[name])
            self.assertEqual(set(self.loaded()), {name})
        # Many clients of both at once: they take turns, and nobody's answer changes.
        wrong = []

        def client(index):
            for turn in range(3):
                name = ("tiny", "other")[(index + turn) % 2]
                body = json.dumps(ASK | {"model": name}).encode()
                line = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                answer = self.server.raw(line % len(body) + body, 60)
                if json.loads(answer.split(b"\r\n\r\n", 1)[1]).get("choices") != expected[name]:
                    wrong.append(answer)

        threads = [threading.Thread(target=client, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(len(self.loaded()), 1)
        self.assertEqual(self.server.stop(), 0)

    def test_a_model_that_cannot_fit(self):
        self.serve("--on-demand", "--memory", "2MB")
        said = self.ask("tiny", 503)
        self.assertIn("the model 'tiny' cannot be loaded: the model does not fit in memory: expected at most 2.0 MB", said)
        self.assertIn("weights", said)
        self.assertEqual(self.server.request("GET", "/ready")[0], 200)

    def test_files_that_vanish_and_change(self):
        self.serve("--on-demand")
        expected = {name: self.ask(name) for name in ("tiny", "other")}
        data = self.other.read_bytes()
        self.other.unlink()
        self.assertEqual(self.ask("other"), expected["other"])  # it is in memory
        self.unload_one("other")
        said = self.ask("other", 500)
        self.assertIn("the model 'other' cannot be loaded", said)
        self.assertNotIn(str(self.folder), said)
        self.assertEqual(self.ask("tiny"), expected["tiny"])
        self.other.write_bytes(data[:2000])
        self.assertIn("cannot be loaded", self.ask("other", 500))
        self.other.write_bytes((self.folder / "tiny.gguf").read_bytes())
        self.assertIn("not those that were there when the server started", self.ask("other", 500))
        self.other.write_bytes(data)
        self.assertEqual(self.ask("other"), expected["other"])
        self.assertEqual(self.ask("tiny"), expected["tiny"])
        self.assertEqual(self.server.metric("maestrale_model_load_failures_total"), 3)

    def unload_one(self, model):
        self.server.post("/api/generate", {"model": model, "keep_alive": 0})
        self.await_loaded(*{"tiny", "other"} - {model})

    def test_unused_models_go(self):
        self.serve("--on-demand", "--keep-loaded", "0")
        self.ask("tiny")
        self.await_loaded()
        status, answer = self.server.post("/api/chat", {"model": "tiny", "messages": [], "keep_alive": "1h"})
        self.assertEqual((status, json.loads(answer)["done_reason"]), (200, "load"))
        self.assertEqual(set(self.loaded()), {"tiny"})

    def test_encoders_too(self):
        self.serve("--embed", str(self.folder / "tiny.gguf"), "--name", "a", "--name", "b", "--name", "embed")
        body = {"model": "embed", "input": ["the hat", "the"]}
        expected = json.loads(self.server.post("/v1/embeddings", body)[1])["data"]
        self.serve("--embed", str(self.folder / "tiny.gguf"), "--name", "a", "--name", "b", "--name", "embed", "--on-demand")
        for _ in range(2):
            self.assertEqual(json.loads(self.server.post("/v1/embeddings", body)[1])["data"], expected)
            self.assertEqual(json.loads(self.server.post("/api/embed", {"model": "embed", "keep_alive": 0})[1])["embeddings"], [])
            self.await_loaded()

    def test_packed_weights(self):
        packed = self.folder / "tiny.packed"
        self.assertEqual(run("repack", self.folder / "tiny.gguf", "-o", packed).returncode, 0)
        self.server = Server(self.folder)
        expected = self.ask("tiny")
        self.server.stop()
        for more in ((), ("--on-demand",)):
            self.server = Server(self.folder, "--packed", str(packed), *more)
            self.assertEqual(self.ask("tiny"), expected)
            self.server.stop()
        done = run("serve", self.other, "--packed", packed, "--port", "0")
        self.check_failure(done, 1, "another model")
        self.check_failure(run("serve", self.other, self.folder / "tiny.gguf", "--packed", packed), 2, "--packed")
        self.check_failure(run("serve", self.other, "--keep-loaded", "5m"), 2, "--on-demand")
        self.check_failure(run("serve", self.other, "--on-demand", "--keep-loaded", "5"), 2, "forever")

    @unittest.skipIf(SANITIZED, "a sanitizer keeps memory that was given back")
    def test_unloading_gives_memory_back(self):
        # By a process of its own, as memory_test does.
        subprocess.run([sys.executable, Path(__file__).with_name("memory_test.py"), PROGRAM, "--write", str(Q8_0_TENSOR), str(self.other)],
                       check=True)
        self.serve("--on-demand")
        before = self.server.memory()
        self.assertEqual(self.server.post("/api/generate", {"model": "other"})[0], 200)
        size = self.loaded()["other"]
        self.assertGreater(size, 60e6)
        held = self.server.memory() - before
        self.unload("other")
        for _ in range(100):  # it is not listed from the moment that it begins to go
            if self.server.memory() - before < 0.2 * held:
                break
            time.sleep(0.05)
        self.assertLess(self.server.memory() - before, 0.2 * held)


if __name__ == "__main__":
    unittest.main()
