// The Responses API through the `openai` client.
import assert from "node:assert/strict";
import OpenAI from "openai";

const tool = {type: "function", name: "get_weather", description: "The weather of a place", strict: true, parameters: {
  type: "object", properties: {place: {type: "string", maxLength: 20}}, required: ["place"], additionalProperties: false}};
const input = "Once upon a time";

export function responsesCases({address, model, metric, eventually}) {
  const client = new OpenAI({baseURL: address + "/v1", apiKey: "none", maxRetries: 0});
  const ask = (more) => client.responses.create({model, input, max_output_tokens: 24, temperature: 0, ...more});
  const refused = (request, field, status = 400) => assert.rejects(request, (error) => {
    assert.equal(error.status, status, error.message);
    assert.equal(error.param, field, error.message);
    return true;
  });

  return {
    "responses: text": async () => {
      const answer = await ask({instructions: "You tell stories.", metadata: {a: "b"}, user: "me"});
      assert.equal(answer.object, "response");
      assert.equal(answer.status, "incomplete");
      assert.equal(answer.incomplete_details.reason, "max_output_tokens");
      assert.ok(answer.output_text.length > 0);
      assert.equal(answer.output[0].content[0].text, answer.output_text);
      assert.equal(answer.usage.output_tokens, 24);
      assert.deepEqual(answer.metadata, {a: "b"});
      assert.equal(answer.instructions, "You tell stories.");
      const chat = await client.chat.completions.create({model, max_tokens: 24, temperature: 0,
        messages: [{role: "system", content: "You tell stories."}, {role: "user", content: input}]});
      assert.equal(answer.output_text, chat.choices[0].message.content);
    },
    "responses: a stream is the same response": async () => {
      const whole = await ask();
      const seen = [];
      let text = "", last = null;
      for await (const event of await ask({stream: true})) {
        assert.equal(event.sequence_number, seen.length);
        seen.push(event.type);
        if (event.type === "response.output_text.delta") text += event.delta;
        last = event;
      }
      assert.equal(text, whole.output_text);
      assert.deepEqual(seen.slice(0, 4), ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]);
      assert.deepEqual(seen.slice(-4), ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.incomplete"]);
      assert.equal(last.response.output[0].content[0].text, whole.output_text);
      assert.deepEqual((await client.responses.retrieve(last.response.id)).output, last.response.output);
    },
    "responses: the stream helper": async () => {
      const final = await client.responses.stream({model, input, max_output_tokens: 8, temperature: 0}).finalResponse();
      assert.equal(final.status, "incomplete");
      assert.ok(final.output_text.length > 0);
    },
    "responses: a conversation goes on": async () => {
      const first = await ask({input: [{role: "user", content: "Tell me a story"}], max_output_tokens: 12});
      const second = await ask({input: "Go on", previous_response_id: first.id, max_output_tokens: 12});
      assert.equal(second.previous_response_id, first.id);
      const chat = await client.chat.completions.create({model, max_tokens: 12, temperature: 0, messages: [
        {role: "user", content: "Tell me a story"}, {role: "assistant", content: first.output_text}, {role: "user", content: "Go on"}]});
      assert.equal(second.output_text, chat.choices[0].message.content);
      const whole = await ask({input: [{role: "user", content: "Tell me a story"}, ...first.output, {role: "user", content: "Go on"}], max_output_tokens: 12, store: false});
      assert.equal(whole.output_text, second.output_text);
      const referred = await ask({input: [{role: "user", content: "Tell me a story"}, {type: "item_reference", id: first.output[0].id}, {role: "user", content: "Go on"}], max_output_tokens: 12});
      assert.equal(referred.output_text, second.output_text);
      const items = [];
      for await (const item of client.responses.inputItems.list(second.id, {order: "asc", limit: 2})) items.push(item.role);
      assert.deepEqual(items, ["user", "assistant", "user"]);
      await refused(client.responses.retrieve(whole.id), "response_id", 404);
      await client.responses.delete(first.id);
      await refused(client.responses.retrieve(first.id), "response_id", 404);
      await refused(ask({previous_response_id: second.id}), "previous_response_id", 404);
    },
    "responses: tools": async () => {
      const more = {tools: [tool], tool_choice: "required", max_output_tokens: 300, temperature: 1, seed: 1};
      const answer = await ask(more);
      const call = answer.output.find((item) => item.type === "function_call");
      assert.equal(call.name, "get_weather");
      assert.deepEqual(Object.keys(JSON.parse(call.arguments)), ["place"]);
      assert.equal(answer.status, "completed");
      let args = "", done = null;
      for await (const event of await ask({...more, stream: true})) {
        if (event.type === "response.function_call_arguments.delta") args += event.delta;
        if (event.type === "response.function_call_arguments.done") done = event;
      }
      assert.equal(args, done.arguments);
      assert.equal(args, call.arguments);
      const next = await ask({previous_response_id: answer.id, tools: [tool], max_output_tokens: 4,
                              input: [{type: "function_call_output", call_id: call.call_id, output: "sunny"}]});
      assert.ok(next.output.length > 0);
    },
    "responses: structured output": async () => {
      const schema = {type: "object", properties: {good: {type: "boolean"}}, required: ["good"], additionalProperties: false};
      const answer = await client.responses.parse({model, input, max_output_tokens: 100, text: {format: {type: "json_schema", name: "x", schema, strict: true}}});
      assert.equal(typeof JSON.parse(answer.output_text).good, "boolean");
      assert.equal(answer.text.format.name, "x");
    },
    "responses: logprobs": async () => {
      const answer = await ask({include: ["message.output_text.logprobs"], top_logprobs: 2, max_output_tokens: 5});
      assert.equal(answer.output[0].content[0].logprobs.length, 5);
      assert.equal(answer.output[0].content[0].logprobs[0].top_logprobs.length, 2);
    },
    "responses: background": async () => {
      const queued = await ask({background: true});
      assert.equal(queued.status, "queued");
      await eventually(async () => (await client.responses.retrieve(queued.id)).status === "incomplete", "it did not end");
      const done = await client.responses.retrieve(queued.id);
      assert.equal(done.output_text ?? done.output[0].content[0].text, (await ask()).output_text);
      assert.equal(done.background, true);
      await refused(client.responses.cancel(done.id), "response_id");
    },
    "responses: background, cancelled": async () => {
      const before = await metric("maestrale_requests_finished_total");
      // More than run together, so that the last has not ended before it is cancelled.
      const ids = [];
      for (let i = 0; i < 12; ++i) ids.push((await ask({background: true, max_output_tokens: 400, ignore_eos: true})).id);
      assert.equal((await client.responses.cancel(ids.at(-1))).status, "cancelled");
      assert.equal((await client.responses.retrieve(ids.at(-1))).status, "cancelled");
      for (const id of ids) await client.responses.delete(id);
      await eventually(async () => (await metric("maestrale_requests_finished_total")) === before + ids.length, "they did not end");
      await eventually(async () => (await metric("maestrale_num_requests_running")) === 0, "something still runs");
    },
    "responses: input tokens": async () => {
      const counted = await client.responses.inputTokens.count({model, input});
      assert.equal(counted.input_tokens, (await ask({max_output_tokens: 1})).usage.input_tokens);
    },
    "responses: errors": async () => {
      await refused(ask({model: "other"}), "model", 404);
      await refused(ask({temperature: 9}), "temperature");
      await refused(ask({input: "long ".repeat(3000)}), "input");
      await refused(ask({tools: [{type: "web_search"}]}), "tools[0].type");
      await refused(ask({truncation: "auto"}), "truncation");
      await refused(ask({previous_response_id: "resp_none"}), "previous_response_id", 404);
      await refused(client.responses.retrieve("resp_none", {stream: true}), "stream");
      await refused(client.responses.inputItems.list("resp_none", {order: "up"}), "order");
    },
    "responses: abort": async () => {
      const before = await metric("maestrale_requests_finished_total");
      const stream = await ask({stream: true, max_output_tokens: 400, ignore_eos: true});
      let seen = 0;
      for await (const event of stream) {
        if (event.type === "response.output_text.delta" && ++seen === 3) break;
      }
      await eventually(async () => (await metric("maestrale_requests_finished_total")) > before, "the request did not end");
    },
  };
}
