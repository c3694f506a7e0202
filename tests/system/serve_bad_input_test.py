#!/usr/bin/env python3
"""Generated bad requests: each is refused with 4xx, its field's name and the dialect's own shape, none stops the server, and
requests that are asked again in between get the same answers to the byte."""

import json
import os
import random
import unittest
from pathlib import Path

from program import SystemTest
from request_mutations import BODIES, malformed
from server import SANITIZED, Server

ROUNDS = 200 if SANITIZED else 10000
SEED = int(os.environ.get("MAESTRALE_SEED", "5"))
TEMPLATE = Path(__file__).parent.parent / "conformance" / "chatml.jinja"
MISTRAL = ("/v1/fim/completions",)
# What the tiny model cannot do.
UNABLE = {"/v1/fim/completions": "filling in", "/v1/rerank": "no scores"}
CANARIES = ["/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/messages/count_tokens", "/api/chat", "/api/generate",
            "/v1/responses", "/v1/embeddings", "/api/embed", "/tokenize", "/detokenize"]
ANSWERS = ("choices", "content", "message", "response", "output_text", "data", "embeddings", "tokens", "prompt", "input_tokens")


def has_shape(path, error):
    """Whether it is an error as the clients of this path read it."""
    if path.startswith("/api/"):
        return set(error) == {"error"} and isinstance(error["error"], str)
    if path.startswith("/v1/messages"):
        return error["type"] == "error" and {"type", "message"} <= set(error["error"])
    inner = error if path in MISTRAL else error["error"]
    return {"message", "type", "param", "code"} <= set(inner) and (path not in MISTRAL or error["object"] == "error")


class BadInput(SystemTest):
    def setUp(self):
        super().setUp()
        self.server = Server(self.folder, "--embed", "{model}", "--name", "tiny", "--name", "embed", context=4096,
                             template=TEMPLATE.read_text(encoding="utf-8"))

    def tearDown(self):
        if self.server.process.poll() is None:
            self.server.process.kill()
            self.server.process.wait()
        super().tearDown()

    def canary(self):
        answers = []
        for path in CANARIES:
            body = json.loads(json.dumps(BODIES[path]))
            if "temperature" in body.get("options", body):
                body.get("options", body)["temperature"] = 0
            status, answer = self.server.post(path, body)
            self.assertEqual(status, 200, f"{path}: {answer}")
            value = json.loads(answer)
            said = {key: value[key] for key in ANSWERS if key in value}
            if path == "/v1/responses":
                said = [part["text"] for item in value["output"] for part in item["content"]]
            self.assertTrue(said, f"{path}: {answer}")
            answers.append(json.dumps(said))
        return answers

    def test_what_is_broken_was_right(self):
        for way, body in BODIES.items():
            path = way.split("#")[0]
            status, answer = self.server.post(path, body)
            if path in UNABLE:
                self.assertEqual(status, 400)
                self.assertIn(UNABLE[path], answer.decode())
            else:
                self.assertEqual(status, 200, f"{way}: {answer}")

    def test_generated_requests(self):
        expected = self.canary()
        source = malformed(random.Random(SEED))
        for index in range(ROUNDS):
            path, body, name = next(source)
            status, answer = self.server.post(path, body)
            said = f"{path} {str(body)[:600]} {name}: {status} {answer[:300]}"
            self.assertTrue(400 <= status < 500, said)
            self.assertTrue(has_shape(path, json.loads(answer)), said)
            if name is not None:
                self.assertIn(name, answer.decode(), said)
            if index % 1000 == 999:
                self.assertEqual(self.canary(), expected)
        self.assertEqual(self.canary(), expected)
        self.assertEqual(self.server.stop(), 0)

    def test_large_bodies(self):
        expected = self.canary()
        for path in ("/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/completions", "/v1/embeddings", "/tokenize"):
            for data in (b'{"model": "' + b"x" * (80 << 20), b"[" * (80 << 20), b'{"a": "' + b"\\u0041" * (1 << 20) + b'"}',
                         b'{"x": [' + b"1," * (1 << 20) + b"1]}"):
                try:
                    status, answer = self.server.post(path, data)
                except (BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
                    self.server.connection = None
                    continue
                self.assertTrue(400 <= status < 500, f"{path}: {status} {answer[:200]}")
                self.assertTrue(has_shape(path, json.loads(answer)), f"{path}: {answer[:200]}")
        self.assertEqual(self.canary(), expected)

    def test_raw_forms(self):
        expected = self.canary()
        body = json.dumps(BODIES["/v1/chat/completions"]).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        get = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        length = b"Content-Length: %d\r\n" % len(body)
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        inner = b"GET /health" + get
        forms = {
            "both lengths": head + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
            "both, the other way": head + b"Transfer-Encoding: chunked\r\n" + length + b"\r\n0\r\n\r\n" + inner,
            "two lengths": head + length + b"Content-Length: 1\r\n\r\n" + body,
            "lengths in a list": head + b"Content-Length: 5, 5\r\n\r\n" + body,
            "hexadecimal length": head + b"Content-Length: 0x10\r\n\r\n" + body,
            "negative length": head + b"Content-Length: -1\r\n\r\n" + body,
            "signed length": head + b"Content-Length: +5\r\n\r\n" + body,
            "blank length": head + b"Content-Length: \r\n\r\n" + body,
            "length of digits and more": head + b"Content-Length: 5 5\r\n\r\n" + body,
            "huge length": head + b"Content-Length: 999999999999999999999999\r\n\r\n",
            "large body": head + b"Content-Length: 99999999999\r\n\r\n",
            "unknown coding": head + b"Transfer-Encoding: xchunked\r\n\r\n" + body,
            "coding in a list": head + b"Transfer-Encoding: chunked, identity\r\n\r\n" + body,
            "two codings": head + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            "coding after a tab": head + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
            "coding in HTTP/1.0": chunked.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
            "chunk without a size": chunked + b"\r\nab\r\n0\r\n\r\n",
            "chunk of no number": chunked + b"zz\r\nab\r\n0\r\n\r\n",
            "chunk of 2^64 and 2": chunked + b"10000000000000002\r\nab\r\n0\r\n\r\n",
            "signed chunk": chunked + b"+2\r\nab\r\n0\r\n\r\n",
            "chunk longer than said": chunked + b"2\r\nabcd\r\n0\r\n\r\n",
            "chunk after a bare line feed": chunked + b"2\nab\r\n0\r\n\r\n",
            "bare line feeds": head.replace(b"\r\n", b"\n") + b"\n",
            "bare carriage return": head + b"X: a\rY: b\r\n" + length + b"\r\n" + body,
            "folded": head + b"X: 1\r\n 2\r\n" + length + b"\r\n" + body,
            "blank before colon": head + b"Content-Length : 5\r\n\r\n" + body,
            "header without a colon": head + b"wonder\r\n" + length + b"\r\n" + body,
            "header without a name": head + b": 1\r\n" + length + b"\r\n" + body,
            "NUL in a header": head + b"X: a\x00b\r\n" + length + b"\r\n" + body,
            "no host": b"GET /health HTTP/1.1\r\n\r\n",
            "two hosts": b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            "foreign host": b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            "foreign page": head + b"Origin: http://evil.example\r\n" + length + b"\r\n" + body,
            "large head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40000 + b"\r\n\r\n",
            "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
            "long target": b"GET /" + b"a" * 40000 + get,
            "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
            "other version": b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
            "no version": b"GET /health\r\n\r\n",
            "unknown method": b"BREW /health" + get,
            "lower case method": b"get /health" + get,
            "another method": b"DELETE /v1/chat/completions" + get,
            "no such path": b"GET /v1/wonder" + get,
            "climbing path": b"GET /v1/../../etc/passwd" + get,
            "climbing path, escaped": b"GET /%2e%2e/%2e%2e/etc/passwd" + get,
            "broken escape": b"GET /%zz" + get,
            "escaped NUL": b"GET /health%00" + get,
            "another server": b"CONNECT evil.example:80" + get,
            "gzip": head + b"Content-Encoding: gzip\r\n" + length + b"\r\n" + body,
            "another charset": head + b"Content-Type: application/json; charset=utf-16\r\n" + length + b"\r\n" + body,
            "expectation": head + b"Expect: wonders\r\n" + length + b"\r\n" + body,
            "no body": head + b"\r\n",
        }
        for path in (b"/v1/chat/completions", b"/v1/messages", b"/v1/messages/count_tokens", b"/api/chat", b"/v1/fim/completions"):
            for name, data in forms.items():
                answer = self.server.raw(data.replace(b"/v1/chat/completions", path))
                self.assertRegex(answer[:12], rb"^HTTP/1\.1 4", f"{path} {name}: {answer[:200]}")
                self.assertEqual(answer.count(b"HTTP/1.1 "), 1, f"{name}: {answer}")  # what lies behind it is no request
                if head.split(b"\r\n")[0] in data:
                    error = json.loads(answer.partition(b"\r\n\r\n")[2])
                    self.assertTrue(has_shape(path.decode(), error), f"{path} {name}: {answer}")
        self.assertEqual(self.canary(), expected)
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
