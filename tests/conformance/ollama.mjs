// The `ollama` client.
import assert from "node:assert/strict";
import {Ollama} from "ollama";

const messages = [{role: "user", content: "Once upon a time"}];
const options = {temperature: 0, num_predict: 24};

export function ollamaCases({address, model, metric, eventually}) {
  const client = new Ollama({host: address});

  return {
    "ollama: chat": async () => {
      const answer = await client.chat({model, messages, options});
      assert.equal(answer.done, true);
      assert.equal(answer.done_reason, "length");
      assert.equal(answer.eval_count, 24);
      assert.ok(answer.message.content.length > 0);
    },
    "ollama: a stream is the same text": async () => {
      const whole = (await client.chat({model: model + ":latest", messages, options})).message.content;
      let text = "", last = null;
      for await (const part of await client.chat({model, messages, options, stream: true})) {
        text += part.message.content;
        last = part;
      }
      assert.equal(text, whole);
      assert.equal(last.done, true);
      assert.equal(last.eval_count, 24);
    },
    "ollama: an answer that has begun goes on": async () => {
      const answer = await client.chat({model, messages: [...messages, {role: "assistant", content: "there was a"}], options});
      assert.ok(answer.message.content.startsWith(" "), answer.message.content);
    },
    "ollama: generate": async () => {
      const raw = await client.generate({model, prompt: "Once upon a time", raw: true, options});
      assert.ok(raw.response.length > 0);
      let text = "";
      for await (const part of await client.generate({model, prompt: "Hello", system: "Be kind", options, stream: true})) text += part.response;
      assert.ok(text.length > 0);
    },
    "ollama: tools": async () => {
      const tools = [{type: "function", function: {name: "f", description: "d", parameters: {type: "object", properties: {}}}}];
      const history = [...messages, {role: "assistant", content: "", tool_calls: [{function: {name: "f", arguments: {a: 1}}}]},
                       {role: "tool", tool_name: "f", content: "done"}];
      assert.equal((await client.chat({model, messages: history, tools, options})).message.role, "assistant");
    },
    "ollama: format": async () => {
      const format = {type: "object", properties: {good: {type: "boolean"}}, required: ["good"], additionalProperties: false};
      const answer = await client.chat({model, messages, format, options: {temperature: 0, num_predict: 60}});
      assert.equal(typeof JSON.parse(answer.message.content).good, "boolean");
    },
    "ollama: list, ps, show, version": async () => {
      assert.equal((await client.list()).models[0].name, model);
      assert.equal((await client.ps()).models[0].name, model);
      const shown = await client.show({model});
      assert.equal(shown.details.family, "llama");
      assert.ok(shown.capabilities.includes("completion"));
      assert.ok((await client.version()).version);
    },
    "ollama: errors": async () => {
      await assert.rejects(client.chat({model: "other", messages}), (error) => error.status_code === 404);
      await assert.rejects(client.chat({model, messages, options: {wonders: 1}}), /wonders/);
      await assert.rejects(client.chat({model, messages: [{role: "user", content: "x", images: ["AAAA"]}]}), /images/);
    },
    "ollama: abort": async () => {
      const before = await metric("maestrale_requests_finished_total");
      const stream = await client.chat({model, messages, stream: true, options: {num_predict: 400}});
      await assert.rejects(async () => {
        for await (const part of stream) if (part) stream.abort();
      });
      await eventually(async () => (await metric("maestrale_requests_finished_total")) > before, "the request did not end");
    },
  };
}
