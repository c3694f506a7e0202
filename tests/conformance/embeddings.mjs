// Embeddings through the clients of OpenAI, Mistral and Ollama: the numbers of `maestrale embed`.
import assert from "node:assert/strict";
import {execFileSync} from "node:child_process";
import {Mistral} from "@mistralai/mistralai";
import {Ollama} from "ollama";
import OpenAI from "openai";

const texts = ["the cat sat on the mat.", "a dog ran far, far", "walked"];

export function embeddingCases({address, maestrale, encoder, model}) {
  const openai = new OpenAI({baseURL: address + "/v1", apiKey: "none", maxRetries: 0});
  const mistral = new Mistral({serverURL: address, apiKey: "none"});
  const ollama = new Ollama({host: address});
  const computed = JSON.parse(execFileSync(maestrale, ["embed", encoder, "--json", "-q"], {input: texts.join("\n")})).embeddings;
  const expected = computed.map((entry) => entry.embedding);
  const tokens = computed.reduce((sum, entry) => sum + entry.tokens, 0);

  return {
    "openai: embeddings": async () => {
      for (const more of [{}, {encoding_format: "float"}]) {  // the client asks for base64 unless told otherwise
        const answer = await openai.embeddings.create({model: "encoder", input: texts, ...more});
        assert.deepEqual(answer.data.map((entry) => entry.embedding), expected);
        assert.deepEqual(answer.usage, {prompt_tokens: tokens, total_tokens: tokens});
      }
      const one = await openai.embeddings.create({model: "encoder", input: texts[0], dimensions: 4, user: "me"});
      assert.equal(one.data[0].embedding.length, 4);
      assert.ok(Math.abs(Math.hypot(...one.data[0].embedding) - 1) < 1e-6);
    },
    "openai: embeddings of a decoder": async () => {
      const answer = await openai.embeddings.create({model: "decoder", input: ["Once upon a time", "there was"]});
      assert.equal(answer.data.length, 2);
      assert.ok(Math.abs(Math.hypot(...answer.data[1].embedding) - 1) < 1e-6);
    },
    "openai: embeddings refused": async () => {
      const refused = (more, field, status = 400) => assert.rejects(
        openai.embeddings.create({model: "encoder", input: "the", ...more}), (error) => error.status === status && error.param === field);
      await refused({input: []}, "input");
      await refused({input: ["the", "cat ".repeat(100)]}, "input[1]");
      await refused({dimensions: 99999}, "dimensions");
      await refused({model}, "model");
      await refused({model: "nobody"}, "model", 404);
    },
    "openai: models of every kind": async () => {
      const ids = (await openai.models.list()).data.map((entry) => entry.id);
      for (const id of [model, "encoder", "scorer", "decoder"]) assert.ok(ids.includes(id), id);
    },
    "mistral: embeddings": async () => {
      const answer = await mistral.embeddings.create({model: "encoder", inputs: texts});
      assert.deepEqual(answer.data.map((entry) => entry.embedding), expected);
      assert.equal(answer.usage.promptTokens, tokens);
      const short = await mistral.embeddings.create({model: "encoder", inputs: texts[0], outputDimension: 4, outputDtype: "float"});
      assert.equal(short.data[0].embedding.length, 4);
      await assert.rejects(mistral.embeddings.create({model: "encoder", inputs: texts, outputDtype: "int8"}), /output_dtype/);
    },
    "ollama: embeddings": async () => {
      const answer = await ollama.embed({model: "encoder", input: texts});
      assert.deepEqual(answer.embeddings, expected);
      assert.equal(answer.prompt_eval_count, tokens);
      assert.deepEqual((await ollama.embeddings({model: "encoder", prompt: texts[1]})).embedding, expected[1]);
      await assert.rejects(ollama.embed({model: "encoder", input: "cat ".repeat(100)}), /at most|1 … 48/);
      assert.equal((await ollama.embed({model: "encoder", input: "cat ".repeat(100), truncate: true})).embeddings.length, 1);
    },
    "rerank": async () => {
      const body = {model: "scorer", query: "the red bird", documents: texts, top_n: 2};
      const answer = await (await fetch(address + "/v1/rerank", {method: "POST", body: JSON.stringify(body)})).json();
      assert.equal(answer.results.length, 2);
      assert.ok(answer.results[0].relevance_score >= answer.results[1].relevance_score);
      assert.equal(answer.results[0].document.text, texts[answer.results[0].index]);
    },
  };
}
