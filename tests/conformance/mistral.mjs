// The `@mistralai/mistralai` client.
import assert from "node:assert/strict";
import {Mistral} from "@mistralai/mistralai";

const messages = [{role: "user", content: "Once upon a time"}];

export function mistralCases({address, model}) {
  const client = new Mistral({serverURL: address, apiKey: "none"});
  const common = {model, messages, maxTokens: 24, temperature: 0, randomSeed: 3};

  return {
    "mistral: chat": async () => {
      const answer = await client.chat.complete(common);
      assert.ok(answer.choices[0].message.content.length > 0);
      assert.equal(answer.choices[0].finishReason, "length");
      assert.equal(answer.usage.completionTokens, 24);
    },
    "mistral: a stream is the same text": async () => {
      const whole = (await client.chat.complete(common)).choices[0].message.content;
      let text = "", finish = null;
      for await (const {data} of await client.chat.stream(common)) {
        text += data.choices[0]?.delta?.content ?? "";
        finish = data.choices[0]?.finishReason ?? finish;
      }
      assert.equal(text, whole);
      assert.equal(finish, "length");
    },
    "mistral: a prefix is part of the answer": async () => {
      const prefix = {role: "assistant", content: "there was a", prefix: true};
      const answer = (await client.chat.complete({...common, messages: [...messages, prefix]})).choices[0].message.content;
      assert.ok(answer.startsWith("there was a "), answer);
      let text = "";
      for await (const {data} of await client.chat.stream({...common, messages: [...messages, prefix]})) text += data.choices[0]?.delta?.content ?? "";
      assert.equal(text, answer);
    },
    "mistral: tools": async () => {
      const tools = [{type: "function", function: {name: "f", description: "d", parameters: {type: "object", properties: {}, additionalProperties: false}}}];
      const answer = await client.chat.complete({...common, tools, toolChoice: "any", maxTokens: 300});
      assert.equal(answer.choices[0].message.toolCalls[0].function.name, "f");
      assert.equal(answer.choices[0].finishReason, "tool_calls");
    },
    "mistral: models": async () => {
      const list = await client.models.list();
      assert.equal(list.data[0].id, model);
    },
    "mistral: fim is refused by a model that cannot": async () => {
      await assert.rejects(client.fim.complete({model, prompt: "a", suffix: "b", maxTokens: 4}), /suffix|filling/);
    },
    "mistral: errors": async () => {
      await assert.rejects(client.chat.complete({...common, model: "other"}), (error) => error.statusCode === 404);
      await assert.rejects(client.chat.complete({...common, safePrompt: true}), /safe_prompt/);
    },
  };
}
