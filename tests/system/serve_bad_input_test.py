#!/usr/bin/env python3
"""Generated bad requests: each is refused with 4xx and its field's name, none stops the server, and a request that is
asked again in between gets the same answer to the byte."""

import json
import random
import unittest

from server import SANITIZED, ServerTest

ROUNDS = 200 if SANITIZED else 10000
MESSAGES = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
BASES = {
    "/v1/chat/completions": {"model": "tiny", "messages": MESSAGES, "max_tokens": 4, "temperature": 0},
    "/v1/completions": {"model": "tiny", "prompt": "hi", "max_tokens": 4, "temperature": 0},
    "/v1/messages": {"model": "tiny", "messages": MESSAGES, "max_tokens": 4},
    "/api/chat": {"model": "tiny", "messages": MESSAGES, "stream": False, "options": {"num_predict": 4}},
    "/api/generate": {"model": "tiny", "prompt": "hi", "stream": False, "options": {"num_predict": 4}},
    "/v1/fim/completions": {"model": "tiny", "prompt": "hi", "max_tokens": 4},
    "/v1/responses": {"model": "tiny", "input": "hi", "max_output_tokens": 4, "temperature": 0},
    "/v1/embeddings": {"model": "embed", "input": "hi"},
    "/api/embed": {"model": "embed"},
    "/v1/rerank": {"model": "embed", "query": "hi", "documents": ["hi"]},
    "/tokenize": {"model": "tiny", "prompt": "hi"},
    "/detokenize": {"model": "tiny", "tokens": [5]},
}
NUMBER, INTEGER, SEED, BOOLEAN, TEXT, OBJECT, LIST = "number", "integer", "seed", "boolean", "text", "object", "list"
FIELDS = {
    "/v1/chat/completions": {
        "model": TEXT, "messages": LIST, "temperature": NUMBER, "top_p": NUMBER, "n": INTEGER, "seed": SEED,
        "max_tokens": INTEGER, "max_completion_tokens": INTEGER, "presence_penalty": NUMBER, "frequency_penalty": NUMBER,
        "stream": BOOLEAN, "stream_options": OBJECT, "tools": LIST, "parallel_tool_calls": BOOLEAN, "logprobs": BOOLEAN,
        "top_logprobs": INTEGER, "logit_bias": OBJECT, "response_format": OBJECT, "reasoning_effort": TEXT, "user": TEXT,
        "top_k": INTEGER, "min_p": NUMBER},
    "/v1/completions": {"model": TEXT, "temperature": NUMBER, "n": INTEGER, "max_tokens": INTEGER, "echo": BOOLEAN,
                        "logprobs": INTEGER, "suffix": TEXT, "stream": BOOLEAN},
    "/v1/messages": {"model": TEXT, "messages": LIST, "max_tokens": INTEGER, "temperature": NUMBER, "top_p": NUMBER,
                     "top_k": INTEGER, "stream": BOOLEAN, "stop_sequences": LIST, "tools": LIST, "tool_choice": OBJECT,
                     "thinking": OBJECT, "metadata": OBJECT},
    "/api/chat": {"model": TEXT, "messages": LIST, "stream": BOOLEAN, "options": OBJECT, "tools": LIST},
    "/api/generate": {"model": TEXT, "prompt": TEXT, "stream": BOOLEAN, "options": OBJECT, "system": TEXT, "raw": BOOLEAN},
    "/v1/fim/completions": {"model": TEXT, "prompt": TEXT, "suffix": TEXT, "max_tokens": INTEGER},
    "/v1/responses": {"model": TEXT, "instructions": TEXT, "max_output_tokens": INTEGER, "temperature": NUMBER,
                      "top_p": NUMBER, "stream": BOOLEAN, "store": BOOLEAN, "background": BOOLEAN, "tools": LIST, "text": OBJECT,
                      "reasoning": OBJECT, "include": LIST, "metadata": OBJECT, "previous_response_id": TEXT,
                      "parallel_tool_calls": BOOLEAN, "top_logprobs": INTEGER},
    "/v1/embeddings": {"model": TEXT, "dimensions": INTEGER, "encoding_format": TEXT, "user": TEXT},
    "/api/embed": {"model": TEXT, "dimensions": INTEGER, "truncate": BOOLEAN, "options": OBJECT},
    "/v1/rerank": {"model": TEXT, "query": TEXT, "documents": LIST, "top_n": INTEGER, "return_documents": BOOLEAN},
    "/tokenize": {"model": TEXT, "prompt": TEXT},
    "/detokenize": {"model": TEXT, "tokens": LIST},
}
WRONG = {
    NUMBER: ["1", True, [], {}, -1e9, 1e300, [1]],
    INTEGER: ["1", True, [], {}, 1.5, -10**12, 1e300, 10**30],
    SEED: ["1", True, [], {}, 1.5, 1e300, 10**30],
    BOOLEAN: [1, "true", [], {}],
    TEXT: [1, True, [], {}, ["x"]],
    OBJECT: [1, "x", True, [], [1]],
    LIST: [1, "x", True, {}, {"a": 1}],
}


def mutations(random_source):
    """(path, body, the name that the error must hold or None) without end."""
    paths = list(BASES)
    while True:
        path = random_source.choice(paths)
        body = json.loads(json.dumps(BASES[path]))
        kind = random_source.randrange(8)
        if kind <= 3:
            field = random_source.choice(list(FIELDS[path]))
            body[field] = random_source.choice(WRONG[FIELDS[path][field]])
            yield path, body, field
        elif kind == 4:
            name = "".join(random_source.choice("abcdefgh_") for _ in range(12))
            body[name] = random_source.choice([1, "x", True, [], {}])
            yield path, body, name
        elif kind == 5:
            optional = ["max_tokens", "max_output_tokens", "temperature", "stream", "options"]
            if path == "/api/generate":
                optional.append("prompt")  # without it the model is loaded
            field = random_source.choice([name for name in body if name not in optional])
            del body[field]
            yield path, body, field
        elif kind == 6 and "messages" in body:
            body["messages"], name = random_source.choice([
                ([{"content": "x"}], "role"), ([{"role": "wizard", "content": "x"}], "role"), ([1], "messages[0]"),
                ([{"role": "user", "content": 5}], "content"), ([{"role": "user", "content": "x", "wonder": 1}], "wonder"),
                (MESSAGES + [None], "messages[1]"), ([{"role": "user", "content": [{"type": "video"}]}], "content")])
            yield path, body, name
        else:
            yield path, broken(body, random_source), None


def broken(body, random_source):
    """Bytes that are no JSON object."""
    text = json.dumps(body).encode()
    at = random_source.randrange(1, len(text) - 1)
    return random_source.choice([
        text[:at], text[:at] + b"\xff" + text[at:], b"[" * 5000, b'{"a":' * 5000, b"", b"null", b"[]", b"\x00" * 10,
        text + b"x", text.replace(b'"', b"'"), b'{"model": "\\ud800"}', b"{" + b'"x":1,' * 3])


class BadInput(ServerTest):
    options = ("--embed", "{model}", "--name", "tiny", "--name", "embed")

    def canary(self):
        answers = []
        for path in ("/v1/chat/completions", "/v1/messages", "/api/chat"):
            status, answer = self.server.post(path, BASES[path] | ({"options": {"num_predict": 8, "temperature": 0}}
                                                                   if path == "/api/chat" else {"temperature": 0}))
            self.assertEqual(status, 200, answer)
            value = json.loads(answer)
            answers.append(json.dumps(value.get("choices") or value.get("content") or value.get("message")))
        return answers

    def test_generated_requests(self):
        expected = self.canary()
        source = mutations(random.Random(5))
        for index in range(ROUNDS):
            path, body, name = next(source)
            status, answer = self.server.post(path, body)
            said = f"{path} {str(body)[:300]}: {status} {answer[:300]}"
            self.assertTrue(400 <= status < 500, said)
            value = json.loads(answer)
            self.assertTrue("error" in value or value.get("object") == "error", said)
            if name is not None:
                self.assertIn(name, answer.decode(), said)
            if index % 1000 == 999:
                self.assertEqual(self.canary(), expected)
        self.assertEqual(self.canary(), expected)
        self.assertEqual(self.server.stop(), 0)

    def test_raw_forms(self):
        expected = self.canary()
        body = json.dumps(BASES["/v1/chat/completions"]).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        length = b"Content-Length: %d\r\n" % len(body)
        forms = {
            "both lengths": head + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "two lengths": head + length + b"Content-Length: 1\r\n\r\n" + body,
            "unknown coding": head + b"Transfer-Encoding: xchunked\r\n\r\n" + body,
            "bare line feeds": head.replace(b"\r\n", b"\n") + b"\n",
            "folded": head + b"X: 1\r\n 2\r\n" + length + b"\r\n" + body,
            "blank before colon": head + b"Content-Length : 5\r\n\r\n" + body,
            "no host": b"GET /health HTTP/1.1\r\n\r\n",
            "foreign host": b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            "large head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40000 + b"\r\n\r\n",
            "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
            "large body": head + b"Content-Length: 99999999999\r\n\r\n",
            "huge length": head + b"Content-Length: 999999999999999999999999\r\n\r\n",
            "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
            "other version": b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
            "gzip": head + b"Content-Encoding: gzip\r\n" + length + b"\r\n" + body,
            "foreign page": head + b"Origin: http://evil.example\r\n" + length + b"\r\n" + body,
        }
        for name, data in forms.items():
            answer = self.server.raw(data)
            self.assertRegex(answer[:12], rb"^HTTP/1\.1 (4|501|505)", f"{name}: {answer[:200]}")
        self.assertEqual(self.canary(), expected)
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
