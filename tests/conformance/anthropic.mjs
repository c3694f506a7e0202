// The `@anthropic-ai/sdk` client.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const tools = [{name: "get_weather", description: "The weather", input_schema: {
  type: "object", properties: {place: {type: "string", maxLength: 20}}, required: ["place"], additionalProperties: false}}];
const messages = [{role: "user", content: "Once upon a time"}];

export function anthropicCases({address, model, metric, eventually}) {
  const client = new Anthropic({baseURL: address, apiKey: "none", maxRetries: 0});
  const ask = (more) => client.messages.create({model, messages, max_tokens: 24, temperature: 0, ...more});

  return {
    "anthropic: message": async () => {
      const answer = await ask({system: [{type: "text", text: "You tell stories.", cache_control: {type: "ephemeral"}}]});
      assert.equal(answer.type, "message");
      assert.ok(answer.content[0].text.length > 0);
      assert.equal(answer.stop_reason, "max_tokens");
      assert.equal(answer.usage.output_tokens, 24);
      assert.ok(answer._request_id);
    },
    "anthropic: a stream is the same text": async () => {
      const whole = (await ask()).content[0].text;
      const stream = client.messages.stream({model, messages, max_tokens: 24, temperature: 0});
      let text = "";
      stream.on("text", (piece) => (text += piece));
      const final = await stream.finalMessage();
      assert.equal(text, whole);
      assert.equal(final.content[0].text, whole);
      assert.equal(final.stop_reason, "max_tokens");
      assert.equal(final.usage.output_tokens, 24);
    },
    "anthropic: stop_sequences": async () => {
      const whole = (await ask()).content[0].text;
      const stop = whole.slice(10, 13);
      const answer = await ask({stop_sequences: [stop, "never"]});
      assert.equal(answer.stop_reason, "stop_sequence");
      assert.equal(answer.stop_sequence, stop);
      assert.equal(answer.content[0].text, whole.slice(0, whole.indexOf(stop)));
    },
    "anthropic: an answer that has begun goes on": async () => {
      const whole = (await ask()).content[0].text;
      const begun = whole.slice(0, whole.indexOf(" ", 20));
      const answer = await ask({messages: [...messages, {role: "assistant", content: begun}]});
      assert.ok(answer.content[0].text.startsWith(" "), answer.content[0].text);
      assert.ok((begun + answer.content[0].text).startsWith(whole), begun + answer.content[0].text);
      await assert.rejects(ask({messages: [...messages, {role: "assistant", content: "It is "}]}), (error) => error.status === 400);
    },
    "anthropic: count_tokens": async () => {
      const count = await client.messages.countTokens({model, messages});
      const answer = await ask({max_tokens: 1});
      assert.equal(count.input_tokens, answer.usage.input_tokens + (answer.usage.cache_read_input_tokens ?? 0));
    },
    "anthropic: tools": async () => {
      const history = [...messages,
        {role: "assistant", content: [{type: "text", text: "I look."}, {type: "tool_use", id: "toolu0001", name: "get_weather", input: {place: "Rome"}}]},
        {role: "user", content: [{type: "tool_result", tool_use_id: "toolu0001", content: [{type: "text", text: "sunny"}]}]}];
      assert.equal((await ask({messages: history, tools, max_tokens: 4})).role, "assistant");
      const forced = await ask({tools, tool_choice: {type: "tool", name: "get_weather"}, max_tokens: 300, temperature: 1});
      assert.equal(forced.stop_reason, "tool_use");
      assert.deepEqual(Object.keys(forced.content.at(-1).input), ["place"]);
      const stream = client.messages.stream({model, messages, tools, tool_choice: {type: "any"}, max_tokens: 300, temperature: 1});
      const final = await stream.finalMessage();
      assert.equal(final.content.at(-1).name, "get_weather");
      assert.deepEqual(Object.keys(final.content.at(-1).input), ["place"]);
    },
    "anthropic: models": async () => {
      const page = await client.models.list();
      assert.equal(page.data[0].id, model);
    },
    "anthropic: errors": async () => {
      const refused = (more, status, type) => assert.rejects(ask(more), (error) => {
        assert.equal(error.status, status);
        assert.equal(error.error.error.type, type);
        return true;
      });
      await refused({model: "other"}, 404, "not_found_error");
      await refused({temperature: 2}, 400, "invalid_request_error");
      await refused({max_tokens: undefined}, 400, "invalid_request_error");
      await refused({messages: [{role: "user", content: "long ".repeat(3000)}]}, 400, "invalid_request_error");
    },
    "anthropic: abort": async () => {
      const before = await metric("maestrale_requests_finished_total");
      const stream = client.messages.stream({model, messages, max_tokens: 400});
      stream.once("text", () => stream.abort());
      await assert.rejects(stream.finalMessage());
      await eventually(async () => (await metric("maestrale_requests_finished_total")) > before, "the request did not end");
    },
  };
}
