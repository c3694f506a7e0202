// The `openai` client.
import assert from "node:assert/strict";
import OpenAI from "openai";

const tool = {type: "function", function: {name: "get_weather", description: "The weather of a place", parameters: {
  type: "object", properties: {place: {type: "string", maxLength: 20}}, required: ["place"], additionalProperties: false}}};
const messages = [{role: "system", content: "You tell stories."}, {role: "user", content: "Once upon a time"}];

export function openaiCases({address, model, metric, eventually}) {
  const client = new OpenAI({baseURL: address + "/v1", apiKey: "none", maxRetries: 0});
  const chat = (more) => client.chat.completions.create({model, messages, max_tokens: 24, temperature: 0, ...more});
  const refused = async (more, field, status = 400) => {
    await assert.rejects(chat(more), (error) => {
      assert.equal(error.status, status);
      assert.equal(error.param, field, error.message);
      return true;
    });
  };

  return {
    "openai: models": async () => {
      const list = await client.models.list();
      assert.equal(list.data[0].id, model);
      assert.equal((await client.models.retrieve(model)).object, "model");
    },
    "openai: chat": async () => {
      const answer = await chat();
      assert.equal(answer.object, "chat.completion");
      assert.ok(answer.choices[0].message.content.length > 0);
      assert.equal(answer.choices[0].finish_reason, "length");
      assert.equal(answer.usage.completion_tokens, 24);
      assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 24);
    },
    "openai: a stream is the same text": async () => {
      const whole = (await chat()).choices[0].message.content;
      let text = "", usage = null, finish = null;
      for await (const chunk of await chat({stream: true, stream_options: {include_usage: true}})) {
        text += chunk.choices[0]?.delta?.content ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
        usage = chunk.usage ?? usage;
      }
      assert.equal(text, whole);
      assert.equal(finish, "length");
      assert.equal(usage.completion_tokens, 24);
    },
    "openai: the stream helper": async () => {
      const stream = client.chat.completions.stream({model, messages, max_tokens: 8, temperature: 0});
      const final = await stream.finalChatCompletion();
      assert.equal(final.choices[0].message.role, "assistant");
    },
    "openai: n and seed": async () => {
      const ask = () => chat({n: 3, seed: 5, temperature: 1});
      const [one, two] = [await ask(), await ask()];
      assert.equal(one.choices.length, 3);
      assert.deepEqual(one.choices.map((c) => c.message.content), two.choices.map((c) => c.message.content));
      assert.notEqual(one.choices[0].message.content, one.choices[1].message.content);
    },
    "openai: the prefix is cached": async () => {
      const long = [{role: "user", content: "a long story about a dog ".repeat(12)}];
      await chat({messages: long});
      assert.ok((await chat({messages: long})).usage.prompt_tokens_details.cached_tokens > 0);
    },
    "openai: stop": async () => {
      const whole = (await chat()).choices[0].message.content;
      const stop = whole.slice(10, 13);
      const answer = await chat({stop: [stop]});
      assert.equal(answer.choices[0].message.content, whole.slice(0, whole.indexOf(stop)));
      assert.equal(answer.choices[0].finish_reason, "stop");
    },
    "openai: logprobs": async () => {
      const answer = await chat({logprobs: true, top_logprobs: 3, max_completion_tokens: 5, max_tokens: undefined});
      const content = answer.choices[0].logprobs.content;
      assert.equal(content.length, 5);
      assert.equal(content[0].top_logprobs.length, 3);
      assert.equal(content[0].logprob, content[0].top_logprobs[0].logprob);
    },
    "openai: logit_bias": async () => {
      const plain = await chat({max_tokens: 1, logprobs: true});
      const token = plain.choices[0].logprobs.content[0].token;
      const tokens = await (await fetch(address + "/tokenize", {method: "POST", body: JSON.stringify({model, prompt: token})})).json();
      const bias = Object.fromEntries(tokens.tokens.map((id) => [id, -100]));
      const other = await chat({max_tokens: 1, logprobs: true, logit_bias: bias});
      assert.ok(other.choices[0].logprobs.content.length === 1);
    },
    "openai: completions": async () => {
      const answer = await client.completions.create({model, prompt: "Once upon a time", max_tokens: 12, temperature: 0, logprobs: 2});
      assert.ok(answer.choices[0].text.length > 0);
      assert.equal(answer.choices[0].logprobs.tokens.length, 12);
      let text = "";
      for await (const chunk of await client.completions.create({model, prompt: "Once upon a time", max_tokens: 12, temperature: 0, stream: true}))
        text += chunk.choices[0]?.text ?? "";
      assert.equal(text, answer.choices[0].text);
    },
    "openai: an answer that has begun goes on": async () => {
      const begun = [...messages, {role: "assistant", content: "there was a"}];
      const more = {messages: begun, continue_final_message: true, add_generation_prompt: false, temperature: 0};
      const rest = (await chat(more)).choices[0].message.content;
      assert.ok(rest.startsWith(" "), rest);
      assert.equal((await chat({...more, echo: true})).choices[0].message.content, "there was a" + rest);
    },
    "openai: tools are taken": async () => {
      const history = [...messages,
        {role: "assistant", content: null, tool_calls: [{id: "call00001", type: "function", function: {name: "get_weather", arguments: "{\"place\":\"Rome\"}"}}]},
        {role: "tool", tool_call_id: "call00001", content: "sunny"}];
      const answer = await chat({messages: history, tools: [tool], tool_choice: "auto", max_tokens: 4});
      assert.equal(answer.choices[0].message.role, "assistant");
    },
    "openai: a forced call": async () => {
      for (const choice of ["required", {type: "function", function: {name: "get_weather"}}]) {
        const answer = await chat({tools: [tool], tool_choice: choice, max_tokens: 300, temperature: 1, seed: 1});
        const calls = answer.choices[0].message.tool_calls;
        assert.equal(calls.length, 1);
        assert.equal(calls[0].function.name, "get_weather");
        assert.deepEqual(Object.keys(JSON.parse(calls[0].function.arguments)), ["place"]);
        assert.equal(answer.choices[0].finish_reason, "tool_calls");
      }
      let args = "", name = "";
      for await (const chunk of await chat({tools: [tool], tool_choice: "required", max_tokens: 300, temperature: 1, seed: 1, stream: true})) {
        const call = chunk.choices[0]?.delta?.tool_calls?.[0];
        name += call?.function?.name ?? "";
        args += call?.function?.arguments ?? "";
      }
      assert.equal(name, "get_weather");
      JSON.parse(args);
    },
    "openai: structured output": async () => {
      const schema = {type: "object", properties: {good: {type: "boolean"}, count: {type: "integer", minimum: 0, maximum: 9}}, required: ["good", "count"], additionalProperties: false};
      const answer = await chat({response_format: {type: "json_schema", json_schema: {name: "x", schema, strict: true}}, max_tokens: 300});
      const value = JSON.parse(answer.choices[0].message.content);
      assert.equal(typeof value.good, "boolean");
      assert.ok(Number.isInteger(value.count));
      const wrong = {type: "json_schema", json_schema: {name: "x", schema: {type: "wonder"}}};
      await assert.rejects(chat({response_format: wrong}), (error) => error.status === 400 && error.param.startsWith("response_format"));
    },
    "openai: calls or structured output": async () => {
      const schema = {type: "object", properties: {good: {type: "boolean"}}, required: ["good"], additionalProperties: false};
      const format = {type: "json_schema", json_schema: {name: "x", schema, strict: true}};
      for (let seed = 0; seed < 6; ++seed) {
        const answer = await chat({tools: [tool], response_format: format, max_tokens: 300, temperature: 2, seed});
        const {content, tool_calls: calls} = answer.choices[0].message;
        if (calls) assert.deepEqual(Object.keys(JSON.parse(calls[0].function.arguments)), ["place"]);
        else assert.equal(typeof JSON.parse(content).good, "boolean");
      }
    },
    "openai: errors": async () => {
      await refused({model: "other"}, "model", 404);
      await refused({temperature: 9}, "temperature");
      await refused({messages: []}, "messages");
      await refused({wonders: 1}, "wonders");
      await refused({max_tokens: "many"}, "max_tokens");
      await refused({messages: [{role: "user", content: "long ".repeat(3000)}]}, "messages");
      await refused({messages: [{role: "user", content: [{type: "image_url", image_url: {url: "data:"}}]}]}, "messages[0].content[0].type");
    },
    "openai: abort": async () => {
      const before = await metric("maestrale_requests_finished_total");
      const stream = await chat({stream: true, max_tokens: 400, ignore_eos: true});
      let seen = 0;
      for await (const chunk of stream) {
        if (chunk && ++seen === 3) break;
      }
      await eventually(async () => (await metric("maestrale_requests_finished_total")) > before, "the request did not end");
      assert.equal(await metric("maestrale_num_requests_running"), 0);
    },
  };
}
