// Streams that wait in the queue behind others: the server shows that they live, and every client takes it.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import {Mistral} from "@mistralai/mistralai";
import {createAnthropic} from "@ai-sdk/anthropic";
import {createMistral} from "@ai-sdk/mistral";
import {createOpenAI} from "@ai-sdk/openai";
import {streamText} from "ai";
import OpenAI from "openai";

const messages = [{role: "user", content: "Once upon a time"}];

export function keepAliveCases({address, model, metric, eventually}) {
  const openai = new OpenAI({baseURL: address + "/v1", apiKey: "none", maxRetries: 0});
  const anthropic = new Anthropic({baseURL: address, apiKey: "none", maxRetries: 0});
  const mistral = new Mistral({serverURL: address, apiKey: "none"});
  const provided = {baseURL: address + "/v1", apiKey: "none"};
  const common = {model, messages, max_tokens: 6, temperature: 0};

  // More than run together, so that whoever comes after them waits.
  async function behindOthers(work) {
    const ids = [];
    for (let i = 0; i < 60; ++i)
      ids.push((await openai.responses.create({model, input: "Once", background: true, max_output_tokens: 500, ignore_eos: true})).id);
    try {
      await work();
    } finally {
      for (const id of ids) await openai.responses.delete(id);
      await eventually(async () => (await metric("maestrale_num_requests_running")) === 0, "something still runs");
    }
  }
  const raw = async (path, body) =>
    (await fetch(address + path, {method: "POST", body: JSON.stringify({...common, ...body, stream: true})})).text();

  return {
    "keep-alive: what is sent": () => behindOthers(async () => {
      const [chat, said] = await Promise.all([raw("/v1/chat/completions", {}), raw("/v1/messages", {})]);
      assert.match(chat, /: keep-alive\n\n/);
      assert.match(said, /event: ping\ndata: {"type":"ping"}\n\n/);
    }),
    "keep-alive: every client takes it": () => behindOthers(async () => {
      const texts = {
        openai: async () => {
          let text = "";
          for await (const chunk of await openai.chat.completions.create({...common, stream: true})) text += chunk.choices[0]?.delta?.content ?? "";
          return text;
        },
        responses: async () => (await openai.responses.stream({model, input: messages[0].content, max_output_tokens: 6, temperature: 0}).finalResponse()).output_text,
        anthropic: async () => (await anthropic.messages.stream(common).finalMessage()).content[0].text,
        mistral: async () => {
          let text = "";
          for await (const {data} of await mistral.chat.stream({model, messages, maxTokens: 6, temperature: 0})) text += data.choices[0]?.delta?.content ?? "";
          return text;
        },
      };
      const ai = {"ai openai": createOpenAI(provided).chat(model), "ai responses": createOpenAI(provided)(model),
                  "ai anthropic": createAnthropic(provided)(model), "ai mistral": createMistral(provided)(model)};
      for (const [name, of] of Object.entries(ai))
        texts[name] = async () => streamText({model: of, messages, maxOutputTokens: 6, temperature: 0, maxRetries: 0}).text;
      const said = await Promise.all(Object.entries(texts).map(async ([name, ask]) => [name, await ask()]));
      for (const [name, text] of said) assert.equal(text, said[0][1], name);
    }),
  };
}
