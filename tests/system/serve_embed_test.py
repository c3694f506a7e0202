#!/usr/bin/env python3
"""Embeddings and reranking through the server: the same numbers as `maestrale embed` and `maestrale rerank` give."""

import base64
import json
import struct
import threading
import unittest

import tiny_models
from encoder_models import BERT, TinyEncoder
from program import SystemTest, run
from server import Server

LINES = ["the cat sat on the mat.", "a dog ran far, far", "walked", "the sun and the moon in the red house of a bird"]


class ServeEmbed(SystemTest):
    def setUp(self):
        super().setUp()
        self.bert = self.write("bert.gguf", TinyEncoder(BERT).gguf())
        self.scorer = self.write("scorer.gguf", TinyEncoder(BERT, scorer=True).gguf(pooling=4))
        self.decoder = self.write("decoder.gguf", tiny_models.gguf())
        self.server = Server(self.folder, str(self.bert), "--embed", str(self.scorer), "--embed", str(self.decoder),
                             "--queue", "64")

    def tearDown(self):
        self.server.stop()
        super().tearDown()

    def post(self, path, body, status=200):
        answered, answer = self.server.post(path, body)
        self.assertEqual(answered, status, answer[:500])
        return json.loads(answer)

    def refused(self, path, body, field, *words):
        error = self.post(path, body, 400)["error"]
        self.assertEqual(error["param"], field, error)
        for word in words:
            self.assertIn(word, error["message"])

    def embeddings(self, model, lines, *options):
        done = run("embed", model, "--json", "-q", *options, stdin="\n".join(lines).encode() + b"\n")
        return json.loads(done.stdout)["embeddings"]

    def test_vectors_are_those_of_the_command_line(self):
        for name, file in (("bert", self.bert), ("decoder", self.decoder)):
            expected = self.embeddings(file, LINES)
            answer = self.post("/v1/embeddings", {"model": name, "input": LINES})
            self.assertEqual([d["embedding"] for d in answer["data"]], [e["embedding"] for e in expected])
            self.assertEqual([d["index"] for d in answer["data"]], [0, 1, 2, 3])
            tokens = sum(e["tokens"] for e in expected)
            self.assertEqual(answer["usage"], {"prompt_tokens": tokens, "total_tokens": tokens})
            one = self.post("/v1/embeddings", {"model": name, "input": LINES[1]})["data"]
            self.assertEqual(one[0]["embedding"], expected[1]["embedding"])
            short = self.post("/v1/embeddings", {"model": name, "input": LINES, "dimensions": 8})["data"]
            self.assertEqual([d["embedding"] for d in short],
                             [e["embedding"] for e in self.embeddings(file, LINES, "--dimensions", 8)])
            packed = self.post("/v1/embeddings", {"model": name, "input": LINES, "encoding_format": "base64"})["data"]
            for entry, whole in zip(packed, expected, strict=True):
                data = base64.b64decode(entry["embedding"])
                self.assertEqual(list(struct.unpack(f"<{len(data) // 4}f", data)), whole["embedding"])

    def test_token_ids(self):
        ids = self.post("/tokenize", {"model": "bert", "prompt": LINES[0], "add_special_tokens": True})["tokens"]
        text = self.post("/v1/embeddings", {"model": "bert", "input": LINES[0]})["data"]
        for shape in (ids, [ids]):
            self.assertEqual(self.post("/v1/embeddings", {"model": "bert", "input": shape})["data"], text)
        self.refused("/v1/embeddings", {"model": "bert", "input": [[3, 99999]]}, "input[0]", "99999")

    def test_ollama(self):
        expected = [e["embedding"] for e in self.embeddings(self.bert, LINES)]
        answer = self.post("/api/embed", {"model": "bert:latest", "input": LINES})
        self.assertEqual(answer["embeddings"], expected)
        self.assertGreater(answer["prompt_eval_count"], 4)
        self.assertEqual(self.post("/api/embed", {"model": "bert", "input": LINES[2]})["embeddings"], expected[2:3])
        self.assertEqual(self.post("/api/embed", {"model": "bert"})["embeddings"], [])
        self.assertEqual(self.post("/api/embeddings", {"model": "bert", "prompt": LINES[0]})["embedding"], expected[0])
        self.assertIn("embedding", self.post("/api/show", {"model": "bert"})["capabilities"])
        self.assertIn("at most", self.post("/api/embed", {"model": "bert", "input": ["cat"] * 2049}, 400)["error"])

    def test_a_text_that_is_too_long(self):
        long = "cat " * 60
        self.refused("/v1/embeddings", {"model": "bert", "input": ["the cat", long]}, "input[1]", "48", "62")
        self.assertIn("prompt", self.post("/api/embeddings", {"model": "bert", "prompt": long}, 400)["error"])
        cut = self.post("/api/embed", {"model": "bert", "input": long, "truncate": True})
        done = run("embed", self.bert, "--json", "-q", "--truncate", stdin=long.encode())
        self.assertEqual(cut["embeddings"], [json.loads(done.stdout)["embeddings"][0]["embedding"]])

    def test_rerank(self):
        query = "the red bird"
        for name, file in (("scorer", self.scorer), ):
            done = run("rerank", file, "--json", "-q", "--query", query, stdin="\n".join(LINES).encode())
            expected = json.loads(done.stdout)["results"]
            answer = self.post("/v1/rerank", {"model": name, "query": query, "documents": LINES})
            self.assertEqual([(r["index"], r["relevance_score"], r["document"]["text"]) for r in answer["results"]],
                             [(r["index"], r["score"], r["text"]) for r in expected])
            self.assertGreater(answer["usage"]["total_tokens"], 20)
            best = self.post("/v1/rerank", {"model": name, "query": query, "top_n": 2, "return_documents": False,
                                            "documents": [{"text": line} for line in LINES]})["results"]
            self.assertEqual([r["index"] for r in best], [r["index"] for r in expected[:2]])
            self.assertNotIn("document", best[0])
        self.refused("/v1/rerank", {"model": "scorer", "query": "cat", "documents": ["cat", "cat " * 60]}, "documents[1]", "48")
        self.refused("/v1/rerank", {"model": "bert", "query": "cat", "documents": ["cat"]}, "model", "no scores")
        self.refused("/v1/rerank", {"model": "scorer", "query": "", "documents": ["cat"]}, "query")
        self.refused("/v1/rerank", {"model": "scorer", "query": "cat", "documents": ["a"], "max_tokens_per_doc": 5},
                     "max_tokens_per_doc")

    def test_what_is_refused(self):
        def refused(field, **more):
            self.refused("/v1/embeddings", {"model": "bert", "input": "cat"} | more, field)

        refused("input", input=[])
        refused("input", input="")
        refused("input", input=None)
        refused("input[1]", input=["cat", 5])
        refused("input[1]", input=[5, "cat"])
        refused("dimensions", dimensions=0)
        refused("dimensions", dimensions=100000)
        refused("encoding_format", encoding_format="hex")
        refused("output_dtype", output_dtype="int8")
        refused("wonders", wonders=1)
        refused("model", model="tiny")
        chat = {"model": "bert", "messages": [{"role": "user", "content": "hi"}]}
        self.refused("/v1/chat/completions", chat, "model", "does not generate")
        self.assertEqual(self.post("/v1/embeddings", {"model": "nobody", "input": "cat"}, 404)["error"]["code"],
                         "model_not_found")

    def test_many_at_once_answer_as_alone(self):
        bodies = [json.dumps({"model": model, "input": LINES[i % 4:]}).encode() for i in range(12) for model in ("bert", "decoder")]
        alone = [self.post("/v1/embeddings", body)["data"] for body in bodies]
        answers = [None] * len(bodies)

        def ask(index):
            body = bodies[index]
            head = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            answers[index] = self.server.raw(head % len(body) + body, 60)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(bodies))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for answer, expected in zip(answers, alone, strict=True):
            self.assertEqual(json.loads(answer.split(b"\r\n\r\n", 1)[1])["data"], expected)
        metrics = self.server.request("GET", "/metrics")[2].decode()
        self.assertIn('maestrale_requests_finished_total{model_name="bert",finished_reason="stop"} 24', metrics)


if __name__ == "__main__":
    unittest.main()
