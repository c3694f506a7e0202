#!/usr/bin/env python3
"""Keys, limits and the ledger of a running server, as its operator uses them."""

import json
import signal
import socket
import sqlite3
import time
import unittest

from program import SystemTest, run
from server import Server

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "ignore_eos": True}


class Keys(SystemTest):
    def setUp(self):
        super().setUp()
        self.store = self.folder / "keys.db"
        self.server = None

    def tearDown(self):
        if self.server and self.server.process.poll() is None:
            self.server.stop(signal.SIGKILL)
        super().tearDown()

    def keys(self, *arguments):
        done = run("keys", *arguments, "--store", self.store, "--json")
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def start(self, *options):
        self.server = Server(self.folder, "--store", str(self.store), *options)

    def ask(self, key, body=None):
        data = json.dumps(CHAT | {"max_tokens": 4} | (body or {})).encode()
        return self.server.request("POST", "/v1/chat/completions", data, {"Authorization": "Bearer " + key})

    def usage(self, *arguments):
        return self.keys("usage", *arguments)

    def wait_for_usage(self, requests):
        for _ in range(200):
            rows = self.usage("--by", "key")
            if sum(row["requests"] for row in rows) >= requests:
                return rows
            time.sleep(0.05)
        self.fail(f"no usage of {requests} requests: {rows}")

    def test_a_key_is_made_used_and_revoked(self):
        made = self.keys("create", "alice", "--weight", "2", "--requests-per-minute", "100")
        self.assertTrue(made["key"].startswith(made["prefix"]))
        self.assertNotIn(made["key"].encode(), self.store.read_bytes())
        self.start()
        self.assertEqual(self.server.request("GET", "/v1/models")[0], 401)  # the loopback too: a store is named
        status, headers, body = self.ask(made["key"])
        self.assertEqual(status, 200, body)
        self.assertEqual(headers["x-ratelimit-limit-requests"], "100")
        late = self.keys("create", "bob")["key"]
        self.keys("revoke", "alice")
        time.sleep(1)
        self.assertEqual(self.ask(made["key"])[0], 401)
        self.assertEqual(self.ask(late)[0], 200)
        answer = json.loads(body)["usage"]
        rows = {row["key"]: row for row in self.wait_for_usage(2)}
        self.assertEqual(rows["alice"]["prompt_tokens"], answer["prompt_tokens"])
        self.assertEqual(rows["alice"]["completion_tokens"], answer["completion_tokens"])
        listed = self.keys("list")
        self.assertEqual([(key["name"], key["state"]) for key in listed], [("alice", "revoked"), ("bob", "valid")])
        self.assertNotIn("key", listed[0])
        self.assertEqual(self.server.stop(), 0)

    def test_a_name_that_is_given_again_is_another_owner(self):
        first = self.keys("create", "alice")["key"]
        self.start()
        long = {"messages": [{"role": "user", "content": "a" * 80}]}

        def cached(key):
            status, _, body = self.ask(key, long)
            self.assertEqual(status, 200, body)
            return json.loads(body)["usage"]["prompt_tokens_details"]["cached_tokens"]

        self.assertEqual(cached(first), 0)
        self.assertGreater(cached(first), 0)
        body = json.dumps({"model": "tiny", "input": "hi", "max_output_tokens": 2}).encode()
        status, _, made = self.server.request("POST", "/v1/responses", body, {"Authorization": "Bearer " + first})
        self.assertEqual(status, 200, made)
        path = "/v1/responses/" + json.loads(made)["id"]
        self.assertEqual(self.server.request("GET", path, None, {"Authorization": "Bearer " + first})[0], 200)
        self.keys("revoke", "alice")
        second = self.keys("create", "alice")["key"]
        time.sleep(1)
        self.assertEqual(cached(second), 0)
        self.assertGreater(cached(second), 0)
        self.assertEqual(self.server.request("GET", path, None, {"Authorization": "Bearer " + second})[0], 404)
        self.assertEqual(self.server.stop(), 0)

    def test_every_token_is_written_when_clients_vanish_and_the_server_stops(self):
        key = self.keys("create", "alice")["key"]
        self.start("--drain", "0")
        body = json.dumps(CHAT | {"stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        for _ in range(5):
            with socket.create_connection((self.server.host, self.server.port)) as line:
                line.sendall(head.encode() + body)
                line.recv(100)
        lines = [socket.create_connection((self.server.host, self.server.port)) for _ in range(3)]
        for line in lines:
            line.sendall(head.encode() + body)
            line.recv(100)
        self.assertEqual(self.server.stop(), 0)
        for line in lines:
            line.close()
        row, = self.usage("--by", "key")
        self.assertEqual(row["requests"], 8)
        self.assertGreater(row["completion_tokens"], 0)
        self.assertGreaterEqual(row["prompt_tokens"], 8)

    def test_a_locked_store_stops_nobody(self):
        key = self.keys("create", "alice")["key"]
        self.start()
        other = sqlite3.connect(self.store, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(5):
            self.assertEqual(self.ask(key)[0], 200)
        self.assertIn("usage waits in memory", self.server.process.stderr.readline())
        other.execute("ROLLBACK")
        other.close()
        self.assertEqual(self.wait_for_usage(5)[0]["requests"], 5)
        self.assertIn("written to the store again", self.server.process.stderr.readline())

    def test_limits_survive_a_restart(self):
        key = self.keys("create", "alice", "--tokens-per-day", "60")["key"]
        self.start()
        while True:
            status, headers, body = self.ask(key)
            if status != 200:
                break
        self.assertEqual(status, 429)
        self.assertIn(b"tokens a day", body)
        self.assertGreater(int(headers["Retry-After"]), 0)
        self.server.stop()
        self.start()
        self.assertEqual(self.ask(key)[0], 429)

    def test_without_keys_use_is_counted_as_nobodys(self):
        self.start("--no-keys")
        self.assertEqual(self.ask("whatever")[0], 200)
        self.wait_for_usage(1)
        self.assertEqual(self.usage("--key", "-", "--by", "model")[0]["model"], "tiny")

    def test_mistakes_are_named(self):
        self.keys("create", "alice")
        store = ("--store", self.store)
        self.check_failure(run("keys", "create", "alice", *store), 2, "there is a key 'alice' already")
        self.check_failure(run("keys", "create", "a b", *store), 2, "unusable name", "'a b'")
        self.check_failure(run("keys", "create", "x", "--scope", "all", *store), 2, "--scope", "generate, embed")
        self.check_failure(run("keys", "create", "x", "--expires", "2001-01-01", *store), 2, "expired already")
        self.check_failure(run("keys", "create", "x", "--tokens-per-day", "0", *store), 2, "--tokens-per-day")
        self.check_failure(run("keys", "revoke", "bob", *store), 1, "no valid key is called 'bob'")
        self.check_failure(run("keys", "usage", "--by", "hour", *store), 2, "--by", "'hour'")
        self.check_failure(run("keys", "list", "--store", self.folder / "none.db"), 1, "there is no such store")
        text = self.write("text.db", b"no database" * 1000)
        self.check_failure(run("keys", "list", "--store", text), 1, "not a SQLite database")
        self.check_failure(run("serve", "x.gguf", "--store", text), 1, "not a SQLite database")
        self.check_failure(run("serve", "x.gguf", "--no-keys", "--api-key", "secret-key"), 2, "--no-keys")


if __name__ == "__main__":
    unittest.main()
