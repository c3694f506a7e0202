#!/usr/bin/env python3
"""Prefixes that outlive the server: one folder, one server after the other, two at once, models on demand."""

import json
import os
import signal
import stat
import subprocess
import threading
import time
import unittest

from program import PROGRAM, SystemTest, run
from server import Server
from serve_on_demand_test import other_model

KEYS = ("--api-key", "alice key-of-alice", "--api-key", "bob key-of-bob")
ASK = {"prompt": "the hat " * 40, "temperature": 0.7, "seed": 3, "max_tokens": 20, "ignore_eos": True, "logprobs": 3}


class PrefixStore(SystemTest):
    def setUp(self):
        super().setUp()
        self.store = self.folder / "prefixes"
        self.servers = []

    def tearDown(self):
        for server in self.servers:
            if server.process.poll() is None:
                server.stop(signal.SIGKILL)
        super().tearDown()

    def serve(self, *options):
        self.servers.append(Server(self.folder, "--prefix-store", str(self.store), *options, context=512))
        return self.servers[-1]

    def ask(self, server, key="alice", model="tiny"):
        """(choices, cached tokens)"""
        status, _, answer = server.request("POST", "/v1/completions", json.dumps(ASK | {"model": model}), {"Authorization": f"Bearer key-of-{key}"})
        self.assertEqual(status, 200, answer)
        value = json.loads(answer)
        return value["choices"], value["usage"].get("prompt_tokens_details", {}).get("cached_tokens", 0)

    def pages(self):
        return sorted(self.store.glob("*/*.kv"))

    def metric(self, server, name):
        _, _, text = server.request("GET", "/metrics", headers={"Authorization": "Bearer key-of-alice"})
        return sum(float(line.split()[-1]) for line in text.decode().splitlines() if line.startswith("maestrale_prefix_store_" + name))

    def test_after_a_restart(self):
        first = self.serve(*KEYS)
        expected, cached = self.ask(first)
        self.assertEqual(cached, 0)
        again, warm = self.ask(first)
        self.assertEqual(again, expected)
        self.assertGreaterEqual(warm, 64)
        self.assertEqual(first.stop(), 0)
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in self.pages()}, {0o600})
        self.assertEqual(stat.S_IMODE(self.store.stat().st_mode), 0o700)

        second = self.serve(*KEYS)
        self.assertEqual(self.ask(second, "bob"), (expected, 0))  # another's
        self.assertEqual(self.ask(second), (expected, warm))
        self.assertEqual(self.metric(second, "hits_total"), warm)
        self.assertEqual(self.metric(second, "pages_read_total"), warm // 64)
        self.assertEqual(self.metric(second, "bytes"), sum(path.stat().st_size for path in self.pages()))
        self.assertEqual(second.stop(), 0)

        # The server's model was written anew each time: the same bytes are the same model. Other bytes are not.
        data = (self.folder / "tiny.gguf").read_bytes()
        place = len(data) // 2
        changed = self.write("changed.gguf", data[:place] + bytes([data[place] ^ 1]) + data[place + 1:])
        server = self.serve(*KEYS, str(changed))
        self.assertEqual(self.ask(server)[1], warm)
        self.assertEqual(self.ask(server, model="changed")[1], 0)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(len([path for path in self.store.iterdir() if path.is_dir()]), 2)

        third = self.serve(*KEYS, "--kv-type", "q8")
        self.assertEqual(self.ask(third)[1], 0)
        self.assertEqual(third.stop(), 0)
        fourth = self.serve(*KEYS)
        self.assertEqual(self.ask(fourth, "bob"), (expected, warm))

    def test_damage_and_sudden_ends(self):
        server = self.serve(*KEYS)
        expected, _ = self.ask(server)
        self.assertEqual(server.stop(), 0)
        whole = self.pages()
        for index, path in enumerate(whole):
            data = path.read_bytes()
            path.write_bytes(data[:len(data) // 2] if index % 2 else data[:-9] + b"\0" * 9)
        (whole[0].parent / "nonsense").write_bytes(b"x")
        server = self.serve(*KEYS)
        self.assertEqual(self.ask(server), (expected, 0))
        self.assertGreater(self.metric(server, "pages_damaged_total"), 0)
        for _ in range(200):  # written again
            if self.metric(server, "pages_written_total") >= len(whole):
                break
            time.sleep(0.02)
        server.stop(signal.SIGKILL)
        server = self.serve(*KEYS)
        choices, cached = self.ask(server)
        self.assertEqual(choices, expected)
        self.assertGreaterEqual(cached, 64)

    def test_two_at_once(self):
        servers = [self.serve(*KEYS, "--prefix-store-size", "2MB"), self.serve(*KEYS, "--prefix-store-size", "2MB")]
        expected, _ = self.ask(servers[0])
        wrong = []

        def client(server):
            for turn in range(10):
                if self.ask(server, ("alice", "bob")[turn % 2])[0] != expected:
                    wrong.append(turn)

        threads = [threading.Thread(target=client, args=(server,)) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual([server.stop() for server in servers], [0, 0])
        self.assertLess(sum(path.stat().st_size for path in self.pages()), 3e6)
        last = self.serve(*KEYS)
        choices, cached = self.ask(last)
        self.assertEqual(choices, expected)
        self.assertGreaterEqual(cached, 64)

    def test_models_on_demand_keep_theirs(self):
        other = self.write("other.gguf", other_model(512))
        server = self.serve(*KEYS, "--on-demand", str(other))
        expected, cached = self.ask(server)
        self.assertEqual(cached, 0)
        self.assertNotEqual(self.ask(server, model="other")[0], expected)
        key = {"Authorization": "Bearer key-of-alice"}
        self.assertEqual(server.request("POST", "/api/generate", json.dumps({"model": "tiny", "keep_alive": 0}), key)[0], 200)
        for _ in range(200):
            if "tiny" not in server.request("GET", "/api/ps", headers=key)[2].decode():
                break
            time.sleep(0.02)
        choices, cached = self.ask(server)
        self.assertEqual(choices, expected)
        self.assertGreaterEqual(cached, 64)
        self.assertEqual(len([path for path in self.store.iterdir() if path.is_dir()]), 2)

    def test_refusals(self):
        server = Server(self.folder)
        server.stop()
        model = self.folder / "tiny.gguf"
        self.check_failure(run("serve", model, "--prefix-store", self.store, "--no-prefix-cache"), 2, "--prefix-store", "--no-prefix-cache")
        self.check_failure(run("serve", model, "--prefix-store-size", "1GB"), 2, "--prefix-store-size")
        self.check_failure(run("serve", "--embed", model, "--prefix-store", self.store), 2, "--prefix-store", "generates")
        self.check_failure(run("serve", model, "--prefix-store", self.store, "--prefix-store-size", "100"), 2, "two pages")
        self.check_failure(run("serve", model, "--prefix-store", self.store / "not" / "there"), 1, "not/there")
        self.check_failure(run("serve", model, "--prefix-store", model), 2, "not a folder")
        os.chmod(self.store, 0o777)
        self.check_failure(run("serve", model, "--prefix-store", self.store), 2, "others could write")
        settings = self.write("serve.toml", b'prefix-store = "here"\nprefix-store-size = "1GiB"\n')
        shown = subprocess.run([PROGRAM, "config", "--config", settings], capture_output=True, check=True).stdout.decode()
        self.assertRegex(shown, r'prefix-store = "here"\s+# .*serve.toml:1')
        self.assertRegex(shown, r'prefix-store-size = "1GiB"\s+# .*serve.toml:2')


if __name__ == "__main__":
    unittest.main()
