// Vercel's `ai` with its providers: OpenAI (Responses and chat), OpenAI-compatible, Anthropic, Mistral.
import assert from "node:assert/strict";
import {createAnthropic} from "@ai-sdk/anthropic";
import {createMistral} from "@ai-sdk/mistral";
import {createOpenAI} from "@ai-sdk/openai";
import {createOpenAICompatible} from "@ai-sdk/openai-compatible";
import {embedMany, generateObject, generateText, jsonSchema, stepCountIs, streamObject, streamText, tool} from "ai";

const prompt = "Once upon a time";
const place = jsonSchema({type: "object", properties: {place: {type: "string", maxLength: 20}}, required: ["place"], additionalProperties: false});
const verdict = jsonSchema({type: "object", properties: {good: {type: "boolean"}, count: {type: "integer", minimum: 0, maximum: 9}},
                            required: ["good", "count"], additionalProperties: false});

export function aiCases({address, model, metric, eventually}) {
  const baseURL = address + "/v1", apiKey = "none";
  const openai = createOpenAI({baseURL, apiKey});
  const compatible = createOpenAICompatible({name: "maestrale", baseURL, includeUsage: true, supportsStructuredOutputs: true});
  const anthropic = createAnthropic({baseURL, apiKey});
  const mistral = createMistral({baseURL, apiKey});
  const models = {"openai responses": openai(model), "openai chat": openai.chat(model), "compatible": compatible(model),
                  "anthropic": anthropic(model), "mistral": mistral(model)};
  const common = {temperature: 0, maxOutputTokens: 24, maxRetries: 0};
  const cases = {};

  for (const [name, of] of Object.entries(models)) {
    const ask = {...common, model: of, prompt};
    cases[`ai: ${name}: text`] = async () => {
      const answer = await generateText({...ask, system: "You tell stories."});
      assert.ok(answer.text.length > 0);
      assert.equal(answer.finishReason, "length");
      assert.equal(answer.usage.outputTokens, 24);
      const stream = streamText({...ask, system: "You tell stories."});
      let text = "";
      for await (const part of stream.textStream) text += part;
      assert.equal(text, answer.text);
      assert.equal(await stream.finishReason, "length");
      assert.equal((await stream.usage).outputTokens, 24);
    };
    cases[`ai: ${name}: tools`] = async () => {
      const seen = [];
      const tools = {get_weather: tool({description: "The weather of a place", inputSchema: place, execute: async (args) => (seen.push(args), "sunny")})};
      const more = {...ask, tools, toolChoice: "required", maxOutputTokens: 200, temperature: 1};
      const answer = await generateText({...more, stopWhen: stepCountIs(2), prepareStep: ({stepNumber}) => (stepNumber === 0 ? {} : {toolChoice: "none"})});
      assert.equal(answer.steps[0].toolCalls[0].toolName, "get_weather");
      assert.deepEqual(Object.keys(seen[0]), ["place"]);
      assert.equal(answer.steps[0].toolResults[0].output, "sunny");
      assert.equal(answer.steps.length, 2);  // the model has been told
      let call = null;
      for await (const part of streamText(more).fullStream) if (part.type === "tool-call") call = part;
      assert.deepEqual(Object.keys(call.input), ["place"]);
    };
    if (name === "anthropic" || name === "mistral") {
      cases[`ai: ${name}: an answer that has begun goes on`] = async () => {
        const messages = [{role: "user", content: prompt}, {role: "assistant", content: "there was a"}];
        const answer = await generateText({...common, model: of, messages});
        assert.ok(answer.text.length > 0);
        let text = "";
        for await (const part of streamText({...common, model: of, messages}).textStream) text += part;
        assert.equal(text, answer.text);
      };
    }
    cases[`ai: ${name}: objects`] = async () => {
      const answer = await generateObject({...ask, schema: verdict, maxOutputTokens: 300});
      assert.equal(typeof answer.object.good, "boolean");
      assert.ok(Number.isInteger(answer.object.count));
      const stream = streamObject({...ask, schema: verdict, maxOutputTokens: 300});
      let last = null;
      for await (const part of stream.partialObjectStream) last = part;
      assert.deepEqual(Object.keys(last).sort(), ["count", "good"]);
      assert.deepEqual(await stream.object, last);
    };
    cases[`ai: ${name}: errors`] = async () => {
      // `ai` does not always send Mistral's name, by which the server knows whose shape an error is to have.
      await assert.rejects(generateText({...ask, prompt: "long ".repeat(3000)}),
                           (error) => error.statusCode === 400 && (name === "mistral" || /context/.test(error.message)));
      // Anthropic's provider keeps temperatures in range itself.
      if (name !== "anthropic") await assert.rejects(generateText({...ask, temperature: 50}), (error) => error.statusCode === 400);
    };
    cases[`ai: ${name}: abort`] = async () => {
      const before = await metric("maestrale_requests_finished_total");
      const abort = new AbortController();
      const stream = streamText({...ask, maxOutputTokens: 400, temperature: 1, abortSignal: abort.signal, onError: () => {}});
      try {
        for await (const part of stream.textStream) if (part) abort.abort();
      } catch {}
      await eventually(async () => (await metric("maestrale_requests_finished_total")) > before, "the request did not end");
      await eventually(async () => (await metric("maestrale_num_requests_running")) === 0, "it still runs");
    };
  }
  cases["ai: embeddings"] = async () => {
    const values = ["the cat sat on the mat.", "a dog ran far, far"];
    const all = [];
    for (const of of [openai.embeddingModel("encoder"), compatible.embeddingModel("encoder"), mistral.embeddingModel("encoder")]) {
      const answer = await embedMany({model: of, values, maxRetries: 0});
      assert.equal(answer.embeddings.length, 2);
      assert.ok(answer.usage.tokens > 4);
      all.push(answer.embeddings);
    }
    assert.deepEqual(all[1], all[0]);
    assert.deepEqual(all[2], all[0]);
  };
  cases["ai: a conversation with references"] = async () => {
    const first = await generateText({...common, model: openai(model), prompt, maxOutputTokens: 12});
    const messages = [{role: "user", content: prompt}, ...first.response.messages, {role: "user", content: "Go on"}];
    const second = await generateText({...common, model: openai(model), messages, maxOutputTokens: 12});
    const chat = await generateText({...common, model: openai.chat(model), messages, maxOutputTokens: 12});
    assert.equal(second.text, chat.text);
  };
  return cases;
}
