#!/usr/bin/env python3
"""The server as its operator sees it: binding, keys, signals, clients that vanish."""

import json
import socket
import threading
import time
import unittest

from program import run
from server import ServerTest

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "ignore_eos": True}


class Serving(ServerTest):
    def test_many_at_once_answer_as_alone(self):
        body = json.dumps(CHAT | {"max_tokens": 16}).encode()
        alone = json.loads(self.server.post("/v1/chat/completions", body)[1])["choices"]
        answers = []

        def ask():
            line = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            answers.append(self.server.raw(line % len(body) + body, 60))

        threads = [threading.Thread(target=ask) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for answer in answers:
            self.assertEqual(json.loads(answer.split(b"\r\n\r\n", 1)[1])["choices"], alone)

    def test_a_completion_keeps_the_blank_that_it_begins_with(self):
        blank_the = 288  # in the tiny vocabulary
        for prompt, expected in (("hi", " the the"), ([5, 6], " the the"), ([1], "the the")):  # 1: where a text begins
            body = {"model": "tiny", "prompt": prompt, "max_tokens": 2, "logit_bias": {str(blank_the): 100}}
            status, answer = self.server.post("/v1/completions", body)
            self.assertEqual(status, 200, answer)
            self.assertEqual(json.loads(answer)["choices"][0]["text"], expected)
            stopped = json.loads(self.server.post("/v1/completions", body | {"stop": " the"})[1])["choices"][0]
            self.assertEqual((stopped["text"], stopped["finish_reason"]), ("" if prompt != [1] else "the", "stop"))

    def test_clients_that_vanish_free_everything(self):
        body = json.dumps(CHAT | {"stream": True}).encode()
        for _ in range(10):
            with socket.create_connection((self.server.host, self.server.port)) as line:
                line.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                line.recv(100)
        for _ in range(100):
            if self.server.metric("maestrale_requests_finished_total") == 10 and self.server.metric("maestrale_num_requests_running") == 0:
                break
            time.sleep(0.05)
        self.assertEqual(self.server.metric("maestrale_requests_finished_total"), 10)
        self.assertEqual(self.server.metric("maestrale_num_requests_running"), 0)
        self.assertEqual(self.server.post("/v1/chat/completions", CHAT | {"max_tokens": 2})[0], 200)

    def test_sigterm_finishes_what_is_under_way(self):
        body = json.dumps(CHAT | {"max_tokens": 60}).encode()
        answers = []
        line = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        threads = [threading.Thread(target=lambda: answers.append(self.server.raw(line + body, 60))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            if self.server.metric("maestrale_num_requests_running") > 0 or len(answers) == 6:
                break
            time.sleep(0.01)
        self.assertEqual(self.server.stop(), 0)
        for thread in threads:
            thread.join()
        done = [answer for answer in answers if b'"finish_reason":"length"' in answer]
        self.assertGreater(len(done), 0)
        for answer in answers:  # what came after the signal is sent away
            self.assertTrue(answer in done or answer == b"" or answer.startswith(b"HTTP/1.1 503"), answer[:200])


class Keys(ServerTest):
    options = ("--api-key", "alice correct-horse")

    def test_keys(self):
        self.assertEqual(self.server.request("GET", "/v1/models")[0], 401)
        self.assertEqual(self.server.request("GET", "/v1/models", headers={"Authorization": "Bearer correct-horse"})[0], 200)
        self.assertEqual(self.server.request("GET", "/health")[0], 200)


class Refusals(unittest.TestCase):
    def test_other_machines_need_a_key(self):
        done = run("serve", "nowhere.gguf", "--host", "0.0.0.0")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"--api-key", done.stderr)

    def test_a_model_that_is_not_there(self):
        self.assertEqual(run("serve", "nowhere.gguf").returncode, 1)


if __name__ == "__main__":
    unittest.main()
