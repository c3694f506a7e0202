#!/usr/bin/env python3
"""`maestrale embed` and `maestrale rerank` against encoders written in plain Python, and against their own logits."""

import array
import json
import math
import unittest

import tiny_models
from encoder_models import BERT, JINA, NOMIC, ROBERTA, WORDS, TinyEncoder
from program import SystemTest, run
from tiny_models import ARRAY, F32, I32, STRING

LINES = ["the cat sat on the mat.", "a dog ran far, far", "walked", "the sun and the moon in the red house of a bird",
         "fish fish fish fish fish fish fish fish fish fish fish fish fish fish fish fish fish fish fish fish"]
TOLERANCE = 2e-5  # f32 sums of some hundred terms, on vectors of length 1


def tokens_of(line):
    """WordPiece for the test's words: all of them are in the vocabulary, "walked" in two pieces, or unknown."""
    out = [WORDS.index("[CLS]")]
    for word in line.replace(".", " .").replace(",", " ,").split():
        if word in WORDS:
            out.append(WORDS.index(word))
        elif word == "walked":
            out += [WORDS.index("walk"), WORDS.index("##ed")]
        else:
            out.append(WORDS.index("[UNK]"))
    return out + [WORDS.index("[SEP]")]


def pooled(states, pooling, dimensions=None):
    if pooling == "mean":
        vector = [sum(values) / len(states) for values in zip(*states)]
    else:
        vector = states[0 if pooling == "cls" else -1]
    vector = vector[:dimensions]
    length = math.sqrt(sum(v * v for v in vector))
    return [v / length for v in vector]


class EmbedTest(SystemTest):
    def embed(self, model, *options, lines=None):
        done = run("embed", model, "--json", "-q", *options, stdin="\n".join(lines or LINES).encode() + b"\n")
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def check(self, encoder, model, pooling, *options, dimensions=None):
        answer = self.embed(model, *options)
        self.assertEqual(answer["pooling"], pooling)
        for line, entry in zip(LINES, answer["embeddings"], strict=True):
            tokens = tokens_of(line)
            self.assertEqual(entry["tokens"], len(tokens), line)
            expected = pooled(encoder.states(tokens), pooling, dimensions)
            self.assertEqual(len(entry["embedding"]), len(expected))
            worst = max(abs(a - b) for a, b in zip(entry["embedding"], expected))
            self.assertLess(worst, TOLERANCE, f"{encoder.kind}, {line}")

    def test_folders_and_gguf_files_agree_with_the_formulas(self):
        for kind in (BERT, NOMIC, JINA, ROBERTA):
            with self.subTest(kind):
                encoder = TinyEncoder(kind)
                folder = encoder.write_folder(self.folder / kind, "pooling_mode_cls_token")
                self.check(encoder, folder, "cls")
                file = self.write(kind + ".gguf", encoder.gguf())
                self.check(encoder, file, "mean")
                self.check(encoder, file, "last", "--pooling", "last", "--threads", 1)
                self.check(encoder, file, "mean", "--dimensions", 8, dimensions=8)

    def test_bits_do_not_depend_on_batch_mates(self):
        for kind in (BERT, NOMIC, JINA):
            file = self.write(kind + ".gguf", TinyEncoder(kind).gguf())
            together = self.embed(file)["embeddings"]
            for line, entry in zip(LINES, together):
                for options in ([], ["--isa", "ref"], ["--threads", 1]):
                    alone = self.embed(file, *options, lines=[line])["embeddings"]
                    self.assertEqual(alone, [entry], f"{kind} {options}")

    def test_without_normalisation(self):
        encoder = TinyEncoder(BERT)
        file = self.write("bert.gguf", encoder.gguf())
        entry = self.embed(file, "--normalize", "off", "--pooling", "cls")["embeddings"][0]["embedding"]
        state = encoder.states(tokens_of(LINES[0]))[0]
        self.assertLess(max(abs(a - b) for a, b in zip(entry, state)), 1e-4)
        done = run("embed", file, "-q", stdin=b"the cat\n")
        self.assertEqual(len(done.stdout.split()), encoder.hidden)

    def test_a_text_that_is_too_long(self):
        file = self.write("bert.gguf", TinyEncoder(BERT).gguf())
        long = ("cat " * 60).encode()
        self.check_failure(run("embed", file, "-q", stdin=b"the cat\n" + long), 1, "text 2", "too long", "48")
        answer = json.loads(run("embed", file, "-q", "--json", "--truncate", stdin=long).stdout)
        self.assertEqual(answer["embeddings"][0]["tokens"], 48)

    def test_what_is_refused(self):
        encoder = TinyEncoder(BERT)
        file = self.write("bert.gguf", encoder.gguf())
        self.check_failure(run("embed", file, "-q", stdin=b""), 2, "no text")
        self.check_failure(run("embed", file, "-q", "--dimensions", 1000, stdin=b"cat"), 2, "dimensions")
        self.check_failure(run("embed", file, "-q", "--pooling", "max", stdin=b"cat"), 2, "--pooling")
        self.check_failure(run("generate", file, "-q", "-p", "cat"), 1, "cannot predict tokens", "maestrale embed")
        self.check_failure(run("rerank", file, "-q", "--query", "x", stdin=b"cat"), 1, "cannot score texts")
        folder = encoder.write_folder(self.folder / "max", "pooling_mode_max_tokens")
        self.check_failure(run("embed", folder, "-q", stdin=b"cat"), 1, "pooling_mode_max_tokens")
        modules = json.loads((folder / "modules.json").read_text())
        modules[2]["type"] = "sentence_transformers.models.Dense"
        (folder / "modules.json").write_text(json.dumps(modules))
        self.check_failure(run("embed", folder, "-q", stdin=b"cat"), 1, "module 'Dense'")
        config = json.loads((folder / "config.json").read_text())
        for key, value in (("hidden_act", "relu"), ("position_embedding_type", "relative_key"), ("is_decoder", True)):
            (folder / "config.json").write_text(json.dumps({**config, key: value}))
            self.check_failure(run("embed", folder, "-q", stdin=b"cat"), 1, key)

    def test_decoders_take_the_last_token(self):
        file = self.write("llama.gguf", tiny_models.gguf())
        answer = self.embed(file, lines=["the", "he the"])
        self.assertEqual(answer["pooling"], "last")
        self.assertEqual([len(e["embedding"]) for e in answer["embeddings"]], [tiny_models.HIDDEN] * 2)
        for line, entry in zip(["the", "he the"], answer["embeddings"]):
            self.assertEqual(self.embed(file, lines=[line])["embeddings"], [entry])
            # The likeliest token is the row of the head that points most along the state.
            head = array.array("f", tiny_models.weights(tiny_models.VOCABULARY, tiny_models.HIDDEN, "output.weight"))
            rows = [head[i:i + tiny_models.HIDDEN] for i in range(0, len(head), tiny_models.HIDDEN)]
            along = [sum(a * b for a, b in zip(row, entry["embedding"])) for row in rows]
            done = run("generate", file, "-p", line, "-n", 1, "--temperature", 0, "--json", "-q", "--ignore-end")
            self.assertEqual(json.loads(done.stdout)["tokens"], [along.index(max(along))])


class RerankTest(SystemTest):
    def rerank(self, model, query):
        done = run("rerank", model, "--json", "-q", "--query", query, stdin="\n".join(LINES).encode())
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        results = json.loads(done.stdout)["results"]
        self.assertEqual([r["score"] for r in results], sorted((r["score"] for r in results), reverse=True))
        return {r["index"]: r["score"] for r in results}

    def test_cross_encoders_agree_with_the_formulas(self):
        query = "the red bird"
        for kind in (BERT, ROBERTA):
            encoder = TinyEncoder(kind, scorer=True)
            folder = encoder.write_folder(self.folder / kind)
            models = [folder, self.write(kind + ".gguf", encoder.gguf(pooling=4))]
            for model in models:
                for index, score in self.rerank(model, query).items():
                    first, second = tokens_of(query), tokens_of(LINES[index])[1:]
                    types = [0] * len(first) + [0 if kind == ROBERTA else 1] * len(second)  # RoBERTa has one type
                    expected = encoder.score(first + second, types)
                    self.assertAlmostEqual(score, expected, delta=2e-5)

    def test_decoders_are_asked_for_yes_or_no(self):
        keys = tiny_models.keys()
        pieces, scores, kinds = tiny_models.vocabulary()
        for place, piece in zip(range(len(pieces) - 4, len(pieces)), ["ye", "yes", "no", "\u2581x"]):
            pieces[place], scores[place] = piece, -1.0 - place / 1000
        keys["tokenizer.ggml.tokens"] = (ARRAY, (STRING, pieces))
        keys["tokenizer.ggml.scores"] = (ARRAY, (F32, scores))
        keys["tokenizer.ggml.token_type"] = (ARRAY, (I32, kinds))
        keys["tokenizer.ggml.add_space_prefix"] = (tiny_models.BOOL, False)
        keys["llama.context_length"] = (tiny_models.U32, 2048)
        file = self.write("judge.gguf", tiny_models.gguf(keys))
        before = ("<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
                  "Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n")
        after = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        task = "Given a web search query, retrieve relevant passages that answer the query"

        def encode(text):
            return json.loads(run("tokenize", file, "--json", "-q", stdin=text.encode()).stdout)["tokens"]

        scores = self.rerank(file, "cat")
        for index in (0, 2):
            body = f"<Instruct>: {task}\n<Query>: cat\n<Document>: {LINES[index]}"
            tokens = encode(before) + encode(body) + encode(after)
            out = self.folder / "logits"
            run("logits", file, "--tokens", ",".join(map(str, tokens)), "-o", out, "-q")
            logits = array.array("f", out.read_bytes())[-tiny_models.VOCABULARY:]
            gap = logits[pieces.index("yes")] - logits[pieces.index("no")]
            self.assertAlmostEqual(scores[index], 1 / (1 + math.exp(-gap)), delta=1e-6)


if __name__ == "__main__":
    unittest.main()
