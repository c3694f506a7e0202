#!/usr/bin/env python3
"""draft_test.py MAESTRALE: a draft model changes no answer, and one that cannot guess is refused by name."""

import json
import unittest

import tiny_models as tiny
from program import SystemTest, run
from server import Server

PROMPT = "the the the a"


class DraftTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "model.gguf"
        self.model.write_bytes(tiny.gguf())

    def generate(self, *options):
        done = run("generate", self.model, "-p", PROMPT, "-n", "40", "--ignore-end", "--seed", "3", "--json", *options)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def test_answers_are_the_same(self):
        for temperature in ("0", "0.8"):
            alone = self.generate("--temperature", temperature, "--drafts", "0")
            guessed = self.generate("--temperature", temperature, "--draft", self.model)
            self.assertEqual(guessed["tokens"], alone["tokens"])
            self.assertEqual(alone["guesses"], 0)

    def test_a_server_answers_the_same(self):
        body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 30, "temperature": 0, "logprobs": 1}
        answers = []
        for options in ((), ("--draft", "{model}")):
            server = Server(self.folder, *options)
            status, answer = server.post("/v1/completions", body)
            server.stop()
            self.assertEqual(status, 200, answer)
            answers.append(json.loads(answer)["choices"])
        self.assertEqual(answers[0], answers[1])

    def refused(self, *arguments):
        done = run(*arguments)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr.decode()

    def test_what_cannot_guess_is_refused(self):
        pieces, scores, kinds = tiny.vocabulary()
        other = self.folder / "other.gguf"
        pieces[-1] = "elsewhere"
        other.write_bytes(tiny.gguf(tiny.keys() | {
            "tokenizer.ggml.tokens": (tiny.ARRAY, (tiny.STRING, pieces)),
            "tokenizer.ggml.scores": (tiny.ARRAY, (tiny.F32, scores)),
            "tokenizer.ggml.token_type": (tiny.ARRAY, (tiny.I32, kinds))}))
        error = self.refused("generate", self.model, "--draft", other, "-p", PROMPT)
        self.assertIn("must have the vocabulary", error)
        self.assertIn("elsewhere", error)
        error = self.refused("generate", self.model, "--draft", self.folder / "missing.gguf", "-p", PROMPT)
        self.assertIn("missing.gguf", error)
        error = self.refused("serve", self.model, "--on-demand", "--draft", self.model, "--port", "0")
        self.assertIn("--on-demand", error)
        error = self.refused("serve", self.model, self.model, "--name", "a", "--name", "b", "--draft", self.model, "--port", "0")
        self.assertIn("one model", error)


if __name__ == "__main__":
    unittest.main()
