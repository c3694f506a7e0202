// Every dialect without sockets and without an engine: JSON in, typed request out; events in, JSON out.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "serve/dialects/anthropic.h"
#include "serve/dialects/mistral.h"
#include "serve/dialects/ollama.h"
#include "serve/dialects/openai.h"
#include "serve/model_pool.h"

namespace maestrale::serve {
namespace {

json::object object(std::string_view text) {
  auto value = parse_json(text, "test");
  EXPECT_TRUE(value.ok()) << text;
  return value->as_object();
}

// `base` with more fields; a later one takes the place of an earlier one of its name.
json::object with(std::string_view base, std::string_view more) {
  json::object out = object(base);
  for (const auto& [key, value] : object(more)) out[key] = value;
  return out;
}

constexpr const char* kChat = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";
constexpr const char* kMessages =
    R"({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]})";

struct Refusal {
  const char* more;
  const char* field;
};

template <class Read>
void check_refusals(const char* base, std::initializer_list<Refusal> cases, Read read) {
  EXPECT_TRUE(read(object(base)).ok());
  for (const auto& [more, field] : cases) {
    const auto refused = read(with(base, more));
    ASSERT_FALSE(refused.ok()) << more;
    EXPECT_EQ(refused.error().where, field) << more << ": " << refused.error().render();
    EXPECT_EQ(api_error(refused.error()).status, 400);
  }
}

TEST(OpenAi, RefusesByName) {
  check_refusals(
      kChat,
      {{R"({"model":5})", "model"},
       {R"({"messages":[]})", "messages"},
       {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text"},
       {R"({"messages":[{"role":"tool","content":"x"}]})", "messages[0].tool_call_id"},
       {R"({"messages":[{"role":"user","content":"x","colour":1}]})", "messages[0].colour"},
       {R"({"messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}]})",
        "messages[0].tool_calls[0].function.arguments"},
       {R"({"temperature":2.1})", "temperature"},
       {R"({"temperature":"1"})", "temperature"},
       {R"({"n":129})", "n"},
       {R"({"n":1.5})", "n"},
       {R"({"seed":"x"})", "seed"},
       {R"({"stop":["a",1]})", "stop[1]"},
       {R"({"max_tokens":0})", "max_tokens"},
       {R"({"top_logprobs":3})", "top_logprobs"},
       {R"({"logit_bias":{"x":1}})", "logit_bias.x"},
       {R"({"logit_bias":{"1":101}})", "logit_bias.1"},
       {R"({"stream_options":{"include_usage":true}})", "stream_options"},
       {R"({"tool_choice":"any thing"})", "tool_choice"},
       {R"({"tool_choice":{"type":"function","function":{"name":"f"}}})", "tool_choice.function.name"},
       {R"({"response_format":{"type":"json_schema"}})", "response_format.json_schema"},
       {R"({"response_format":{"type":"text","x":1}})", "response_format.x"},
       {R"({"reasoning_effort":"extreme"})", "reasoning_effort"},
       {R"({"store":true})", "store"},
       {R"({"service_tier":"flex"})", "service_tier"},
       {R"({"modalities":["audio"]})", "modalities"},
       {R"({"safe_prompt":true})", "safe_prompt"},
       {R"({"functions":[]})", "functions"},
       {R"({"echo":true})", "echo"},
       {R"({"add_generation_prompt":false})", "add_generation_prompt"},
       {R"({"add_generation_prompt":true,"continue_final_message":true})", "add_generation_prompt"},
       {R"({"messages":[{"role":"assistant","content":"a","prefix":true},{"role":"user","content":"b"}]})",
        "messages[0].prefix"},
       {R"({"continue_final_message":true,"messages":[{"role":"assistant","content":"a","prefix":true}]})",
        "continue_final_message"},
       {R"({"wonders":null})", "wonders"}},
      [](const json::object& body) { return read_openai_chat(body, false); });
}

TEST(EveryDialect, GoesOnWithTheLastMessage) {
  constexpr const char* kBegun =
      R"("messages":[{"role":"user","content":"q"},{"role":"assistant","content":"It is"}])";
  const auto goes_on = [](const Result<Translation>& read) {
    EXPECT_TRUE(read.ok()) << read.error().render();
    return std::get<chat::ChatRequest>(read->request).continue_final_message;
  };
  const json::object begun = object(std::string(R"({"model":"m","max_tokens":5,)") + kBegun + "}");
  EXPECT_TRUE(goes_on(read_anthropic(begun)));
  EXPECT_FALSE(goes_on(read_anthropic(object(kMessages))));
  EXPECT_FALSE(goes_on(read_openai_chat(begun, false)));  // as OpenAI: a new message
  json::object asked = begun;
  asked["continue_final_message"] = true;
  asked["add_generation_prompt"] = false;
  EXPECT_TRUE(goes_on(read_openai_chat(asked, false)));
  asked.erase("continue_final_message");
  asked.erase("add_generation_prompt");
  asked["messages"].as_array()[1].as_object()["prefix"] = true;
  EXPECT_TRUE(goes_on(read_openai_chat(asked, true)));
  json::object ollama = object(std::string(R"({"model":"m",)") + kBegun + "}");
  EXPECT_TRUE(goes_on(read_ollama_chat(ollama)));
  EXPECT_FALSE(goes_on(read_ollama_chat(object(kChat))));
}

TEST(OpenAi, ReadsEveryField) {
  const auto read = read_openai_chat(
      with(
          kChat,
          R"({"temperature":0.5,"top_p":0,"seed":-1,"n":2,"stop":"x","max_completion_tokens":7,"logprobs":true,
        "top_logprobs":4,"logit_bias":{"3":-100},"parallel_tool_calls":false,"reasoning_effort":"low","user":"u",
        "tools":[{"type":"function","function":{"name":"f","strict":true}},{"type":"function","function":{"name":"g"}}],
        "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"g"}}]}},
        "response_format":{"type":"json_object"},"service_tier":"auto","store":false,"stream":true})"),
      false);
  ASSERT_TRUE(read.ok()) << read.error().render();
  const auto& chat = std::get<chat::ChatRequest>(read->request);
  EXPECT_EQ(chat.common.sampling.temperature, 0.5);
  EXPECT_GT(*chat.common.sampling.top_p, 0);
  EXPECT_EQ(chat.common.sampling.seed, ~std::uint64_t{0});
  EXPECT_EQ(chat.common.choices, 2);
  EXPECT_EQ(chat.common.max_tokens, 7);
  EXPECT_EQ(chat.common.sampling.logprobs, 4);
  EXPECT_EQ(chat.common.sampling.logit_bias.front(), (std::pair<text::TokenId, double>(3, -100)));
  EXPECT_FALSE(chat.parallel_calls);
  EXPECT_EQ(chat.tools.size(), 1u);
  EXPECT_EQ(chat.tool_choice.kind, chat::ToolChoice::Kind::kRequired);
  EXPECT_EQ(chat.common.shape.kind, chat::OutputShape::Kind::kJsonObject);
  EXPECT_TRUE(read->stream);
  EXPECT_EQ(read->label, "u");
}

TEST(Anthropic, RefusesByName) {
  check_refusals(
      kMessages,
      {{R"({"max_tokens":null})", "max_tokens"},
       {R"({"messages":[{"role":"system","content":"x"}]})", "messages[0].role"},
       {R"({"messages":[{"role":"assistant","content":"x "}]})", "messages[0].content"},
       {R"({"messages":[{"role":"assistant","content":""}]})", "messages[0].content"},
       {R"({"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"i","name":"f","input":{}}]}]})",
        "messages[0].content"},
       {R"({"messages":[{"role":"user","content":[{"type":"image"}]}]})", "messages[0].content[0].type"},
       {R"({"temperature":1.5})", "temperature"},
       {R"({"thinking":{"type":"enabled"}})", "thinking.budget_tokens"},
       {R"({"tool_choice":{"type":"tool","name":"f"}})", "tool_choice.name"},
       {R"({"tool_choice":{"type":"any"}})", "tool_choice"},
       {R"({"tools":[{"name":"f"}]})", "tools[0].input_schema"},
       {R"({"tools":[{"type":"web_search_1","name":"f","input_schema":{}}]})", "tools[0].type"},
       {R"({"container":"x"})", "container"},
       {R"({"wonders":1})", "wonders"}},
      [](const json::object& body) { return read_anthropic(body); });
}

TEST(Anthropic, ResultsOfToolsAreMessages) {
  const auto read =
      read_anthropic(object(R"({"model":"m","max_tokens":5,"system":[{"type":"text","text":"s"}],"messages":[
      {"role":"user","content":"q"},
      {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},{"type":"tool_use","id":"i","name":"f","input":{"a":1}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":"r"},{"type":"text","text":"and?"}]}]})"));
  ASSERT_TRUE(read.ok()) << read.error().render();
  const json::array& messages = std::get<chat::ChatRequest>(read->request).messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[2].at("reasoning_content"), "t");
  EXPECT_EQ(messages[2].at("tool_calls").at(0).at("function").at("arguments").at("a"), 1);
  EXPECT_EQ(messages[3].at("role"), "tool");
  EXPECT_EQ(messages[4].at("content"), "and?");
}

TEST(Ollama, RefusesByName) {
  check_refusals(kChat,
                 {{R"({"options":{"num_gpu":1}})", "options.num_gpu"},
                  {R"({"options":{"temperature":"hot"}})", "options.temperature"},
                  {R"({"options":{"wonders":1}})", "options.wonders"},
                  {R"({"messages":[{"role":"user","content":"x","images":["A"]}]})", "messages[0].images"},
                  {R"({"truncate":true})", "truncate"},
                  {R"({"format":"xml"})", "format"},
                  {R"({"think":"a lot"})", "think"},
                  {R"({"wonders":1})", "wonders"}},
                 read_ollama_chat);
}

TEST(Mistral, RefusesByName) {
  check_refusals(
      R"({"model":"m","prompt":"a"})",
      {{R"({"prompt":1})", "prompt"}, {R"({"suffix":1})", "suffix"}, {R"({"min_tokens":3})", "min_tokens"}},
      read_mistral_fim);
}

// Thoughts, text and a call, as one choice.
std::vector<chat::AnswerEvent> some_events() {
  using Kind = chat::Event::Kind;
  std::vector<chat::AnswerEvent> events;
  const auto add = [&events](chat::Event event) {
    events.push_back({.choice = 0, .what = chat::ChoiceDelta{.events = {std::move(event)}, .note = {}}});
  };
  add({.kind = Kind::kReasoning, .text = "hm"});
  add({.kind = Kind::kText, .text = "I "});
  add({.kind = Kind::kText, .text = "look"});
  add({.kind = Kind::kCallStart, .text = "f", .id = "abcdefghi"});
  add({.kind = Kind::kCallArguments, .text = "{\"a\":"});
  add({.kind = Kind::kCallArguments, .text = "1}"});
  add({.kind = Kind::kCallEnd});
  events.push_back({.choice = 0, .what = chat::ChoiceDone{.end = chat::End::kCalls}});
  chat::AnswerDone done;
  done.usage.prompt_tokens = 5;
  done.usage.cached_tokens = 2;
  done.usage.completion_tokens = 7;
  events.push_back({.choice = 0, .what = done});
  return events;
}

std::string streamed(Translation& translation) {
  const AnswerFacts facts{.id = "1", .model = "m", .created_s = 0, .prompt_tokens = 5};
  std::string out = translation.writer->begin(facts);
  for (const chat::AnswerEvent& event : some_events()) out += translation.writer->event(facts, event);
  return out;
}

json::value whole(Translation& translation) {
  Collected collected;
  for (chat::AnswerEvent& event : some_events()) collect(collected, std::move(event));
  return translation.writer->whole({.id = "1", .model = "m"}, collected);
}

void expect_in_order(const std::string& text, std::initializer_list<const char*> parts) {
  std::size_t at = 0;
  for (const char* part : parts) {
    const std::size_t found = text.find(part, at);
    ASSERT_NE(found, std::string::npos) << part << " in " << text;
    at = found + 1;
  }
}

TEST(OpenAi, WritesAnswers) {
  auto read =
      read_openai_chat(with(kChat, R"({"stream":true,"stream_options":{"include_usage":true}})"), false);
  expect_in_order(
      streamed(*read),
      {R"("role":"assistant")", R"("reasoning_content":"hm")", R"("content":"I ")", R"("content":"look")",
       R"("name":"f","arguments":"")", R"("arguments":"{\"a\":")", R"("arguments":"1}")",
       R"("finish_reason":"tool_calls")", R"("cached_tokens":2)", "data: [DONE]"});
  const json::value answer = whole(*read);
  EXPECT_EQ(answer.at("choices").at(0).at("message").at("tool_calls").at(0).at("function").at("arguments"),
            "{\"a\":1}");
  auto mistral = read_openai_chat(object(kChat), true);
  EXPECT_EQ(
      whole(*mistral).at("choices").at(0).at("message").at("content").at(0).at("thinking").at(0).at("text"),
      "hm");
}

TEST(Anthropic, WritesAnswers) {
  auto read = read_anthropic(object(kMessages));
  expect_in_order(
      streamed(*read),
      {"event: message_start", R"("input_tokens":5)", R"("type":"thinking_delta","thinking":"hm")",
       "signature_delta", "content_block_stop", R"("index":1)", R"("text":"I ")", "content_block_stop",
       R"("type":"tool_use","id":"abcdefghi","name":"f")", R"("partial_json":"{\"a\":")",
       "content_block_stop", R"("stop_reason":"tool_use")", R"("output_tokens":7)", "event: message_stop"});
  const json::value answer = whole(*read);
  EXPECT_EQ(answer.at("content").as_array().size(), 3u);
  EXPECT_EQ(answer.at("usage").at("cache_read_input_tokens"), 2);
}

TEST(Ollama, WritesAnswers) {
  auto read = read_ollama_chat(object(kChat));
  EXPECT_TRUE(read->stream);
  expect_in_order(streamed(*read), {R"("thinking":"hm")", R"("content":"I ")", R"("arguments":{"a":1})",
                                    R"("done":true,"done_reason":"stop")", R"("eval_count":7)"});
  EXPECT_EQ(whole(*read).at("message").at("thinking"), "hm");
}

TEST(Ollama, WithoutAPromptTheModelIsLoaded) {
  const auto generate = read_ollama_generate(object(R"({"model":"m","keep_alive":0})"));
  ASSERT_TRUE(generate.ok()) << generate.error().render();
  EXPECT_EQ(generate->keep_s, 0.0);
  const json::value answer = generate->only_load({.id = {}, .model = "m"}, true);
  EXPECT_EQ(answer.at("response"), "");
  EXPECT_EQ(answer.at("done_reason"), "unload");
  const auto chat = read_ollama_chat(object(R"({"model":"m","messages":[]})"));
  ASSERT_TRUE(chat.ok()) << chat.error().render();
  EXPECT_FALSE(chat->keep_s.has_value());
  EXPECT_EQ(chat->only_load({.id = {}, .model = "m"}, false).at("done_reason"), "load");
  EXPECT_FALSE(read_ollama_chat(object(kChat))->only_load);
  EXPECT_FALSE(read_ollama_generate(object(R"({"model":"m","system":"x"})")).ok());
}

// As Go's time.ParseDuration has it.
TEST(Ollama, ReadsHowLongToKeep) {
  const auto keep = [](const std::string& value) {
    const json::object body = object(R"({"keep_alive":)" + value + "}");
    Fields fields(body, "");
    const auto seconds = read_keep_alive(fields);
    return seconds.ok() ? seconds->value_or(-1) : -2;
  };
  EXPECT_EQ(keep("null"), -1);
  EXPECT_EQ(keep("0"), 0);
  EXPECT_EQ(keep("90"), 90);
  EXPECT_EQ(keep("0.5"), 0.5);
  EXPECT_EQ(keep("-1"), kForever);
  EXPECT_EQ(keep(R"("0")"), 0);
  EXPECT_EQ(keep(R"("5m")"), 300);
  EXPECT_EQ(keep(R"("1h30m2.5s")"), 5402.5);
  EXPECT_EQ(keep(R"("250ms")"), 0.25);
  EXPECT_EQ(keep(R"("-1m")"), kForever);
  EXPECT_EQ(keep(R"("+2s")"), 2);
  for (const char* wrong : {R"("")", R"("5")", R"("m")", R"("5x")", R"("1e3s")", R"("5m ")", R"("--1m")",
                            R"("nans")", R"("infs")", "true", "[]"})
    EXPECT_EQ(keep(wrong), -2) << wrong;
}

TEST(Errors, EveryDialectHasItsShape) {
  const ApiError error{.status = 400, .message = "no", .field = "n"};
  EXPECT_EQ(error_json(DialectName::kOpenAi, error).at("error").at("param"), "n");
  EXPECT_EQ(error_json(DialectName::kAnthropic, error).at("error").at("message"), "n: no");
  EXPECT_EQ(error_json(DialectName::kOllama, error).at("error"), "n: no");
  EXPECT_EQ(error_json(DialectName::kMistral, error).at("object"), "error");
}

}  // namespace
}  // namespace maestrale::serve
