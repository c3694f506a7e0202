#include "serve/dialects/responses.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "serve/dialects/response_items.h"

namespace maestrale::serve {
namespace {

json::object object(std::string_view text) { return parse_json(text, "test").value().as_object(); }
json::value value(std::string_view text) { return parse_json(text, "test").value(); }

TEST(Responses, ReadsARequest) {
  const auto read = read_responses(object(R"({"model":"m","input":"hi","instructions":"be kind",
      "max_output_tokens":9,"temperature":0.5,"top_p":0.9,"store":false,"metadata":{"a":"b"},
      "reasoning":{"effort":"low","summary":"auto"},"previous_response_id":"resp_1",
      "include":["message.output_text.logprobs"],"top_logprobs":3,
      "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}],
      "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,
      "text":{"format":{"type":"json_schema","name":"s","strict":true,"schema":{"type":"object"}}}})"));
  ASSERT_TRUE(read.ok()) << read.error().render();
  const auto& chat = std::get<chat::ChatRequest>(read->translation.request);
  EXPECT_EQ(chat.common.max_tokens, 9);
  EXPECT_EQ(chat.common.sampling.temperature, 0.5);
  EXPECT_EQ(chat.common.sampling.logprobs, 3);
  EXPECT_EQ(chat.common.shape.kind, chat::OutputShape::Kind::kJsonSchema);
  EXPECT_EQ(chat.common.shape.where, "text.format.schema");
  EXPECT_EQ(chat.reasoning_effort, "low");
  EXPECT_EQ(chat.tool_choice.name, "f");
  EXPECT_TRUE(chat.tools.at(0).at("function").at("strict").as_bool());
  EXPECT_FALSE(chat.parallel_calls);
  EXPECT_EQ(read->previous, "resp_1");
  EXPECT_EQ(read->instructions, "be kind");
  EXPECT_FALSE(read->store);
  EXPECT_EQ(read->echo.at("metadata"), value(R"({"a":"b"})"));
  EXPECT_EQ(read->echo.at("temperature"), 0.5);
  EXPECT_EQ(read->echo.at("tool_choice").at("name"), "f");
}

TEST(Responses, RefusesByName) {
  const auto refused = [](std::string_view more) {
    json::object body{{"model", "m"}, {"input", "hi"}};
    for (const auto& [key, value] : object(more)) body[key] = value;
    const auto read = read_responses(body);
    EXPECT_FALSE(read.ok()) << more;
    return read.ok() ? std::string() : read.error().where;
  };
  EXPECT_EQ(refused(R"({"input":5})"), "input");
  EXPECT_EQ(refused(R"({"input":[]})"), "input");
  EXPECT_EQ(refused(R"({"input":null})"), "input");
  EXPECT_EQ(refused(R"({"input":[{"role":"wizard","content":"x"}]})"), "input[0].role");
  EXPECT_EQ(refused(R"({"input":[{"role":"user","content":[{"type":"input_image"}]}]})"),
            "input[0].content[0].type");
  EXPECT_EQ(refused(R"({"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{"}]})"),
            "input[0].arguments");
  EXPECT_EQ(refused(R"({"input":[{"type":"function_call_output","output":"x"}]})"), "input[0].call_id");
  EXPECT_EQ(refused(R"({"input":[{"type":"computer_call"}]})"), "input[0].type");
  EXPECT_EQ(refused(R"({"input":[{"type":"reasoning","summary":[],"encrypted_content":"x"}]})"),
            "input[0].encrypted_content");
  EXPECT_EQ(refused(R"({"tools":[{"type":"web_search"}]})"), "tools[0].type");
  EXPECT_EQ(refused(R"({"tools":[{"type":"function","name":""}]})"), "tools[0].name");
  EXPECT_EQ(refused(R"({"tool_choice":{"type":"function","name":"g"}})"), "tool_choice.name");
  EXPECT_EQ(refused(R"({"tool_choice":{"type":"mcp"}})"), "tool_choice.type");
  EXPECT_EQ(refused(R"({"text":{"format":{"type":"json_schema","name":"x"}}})"), "text.format.schema");
  EXPECT_EQ(refused(R"({"text":{"format":{"type":"xml"}}})"), "text.format.type");
  EXPECT_EQ(refused(R"({"text":{"verbosity":"low"}})"), "text.verbosity");
  EXPECT_EQ(refused(R"({"reasoning":{"effort":"much"}})"), "reasoning.effort");
  EXPECT_EQ(refused(R"({"reasoning":{"summary":"detailed"}})"), "reasoning.summary");
  EXPECT_EQ(refused(R"({"include":["reasoning.encrypted_content"]})"), "include[0]");
  EXPECT_EQ(refused(R"({"top_logprobs":2})"), "top_logprobs");
  EXPECT_EQ(refused(R"({"background":true,"stream":true})"), "stream");
  EXPECT_EQ(refused(R"({"background":true,"store":false})"), "background");
  EXPECT_EQ(refused(R"({"metadata":{"a":1}})"), "metadata.a");
  EXPECT_EQ(refused(R"({"n":2})"), "n");
  EXPECT_EQ(refused(R"({"stream_options":{}})"), "stream_options");
  for (const char* field : {"conversation", "prompt", "context_management", "max_tool_calls", "moderation"})
    EXPECT_EQ(refused(R"({")" + std::string(field) + R"(":{}})"), field);
  EXPECT_EQ(refused(R"({"truncation":"auto"})"), "truncation");
  EXPECT_EQ(refused(R"({"wonders":1})"), "wonders");
}

TEST(Responses, ItemsBecomeMessages) {
  const auto items = read_response_items(value(R"([
      {"role":"developer","content":"one"},{"type":"message","role":"system","content":[{"type":"input_text","text":"two"}]},
      {"role":"user","content":"q"},
      {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},
      {"role":"assistant","content":[{"type":"output_text","text":"a","annotations":[]}]},
      {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"},
      {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
      {"type":"function_call_output","call_id":"c1","output":"r"},
      {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"s"}]},
      {"role":"assistant","content":"b"},{"role":"assistant","content":"c"}])"));
  ASSERT_TRUE(items.ok()) << items.error().render();
  for (const json::value& item : *items) EXPECT_FALSE(item.at("id").as_string().empty());
  EXPECT_EQ(messages_of_items(*items), value(R"([
      {"role":"system","content":"one\n\ntwo"},{"role":"user","content":"q"},
      {"role":"assistant","content":"a","reasoning_content":"hm","tool_calls":[
        {"id":"c1","type":"function","function":{"name":"f","arguments":{"x":1}}},
        {"id":"c2","type":"function","function":{"name":"g","arguments":{}}}]},
      {"role":"tool","tool_call_id":"c1","content":"r"},{"role":"tool","tool_call_id":"c2","content":"s"},
      {"role":"assistant","content":"b"},{"role":"assistant","content":"c"}])"));
}

// The events of a model's answer, and what the writer says of each.
struct Written {
  std::vector<json::object> events;
  json::object kept;
  json::value whole;

  std::string types() const {
    std::string out;
    for (const json::object& event : events)
      out += std::string(event.at("type").as_string().subview(9)) + " ";  // "response."
    return out;
  }
};

Written write(const std::vector<chat::Event>& parts, chat::End end, std::optional<Error> error = {}) {
  Written out;
  auto writer =
      make_responses_writer({.echo = {{"metadata", json::object()}},
                             .logprobs = true,
                             .finished = [&out](const json::object& response) { out.kept = response; }});
  const AnswerFacts facts{.id = "x", .model = "m", .created_s = 5};
  std::string text = writer->begin(facts);
  for (const chat::Event& part : parts) {
    chat::TokenNote note{.chosen = {.token = 1, .bytes = part.text, .logprob = -1}, .top = {}};
    text += writer->event(facts, {.choice = 0, .what = chat::ChoiceDelta{{part}, note}});
  }
  text += writer->event(facts, {.choice = 0, .what = chat::ChoiceDone{.end = end}});
  chat::AnswerDone done{.usage = {.prompt_tokens = 5, .cached_tokens = 2, .completion_tokens = 7},
                        .reasoning_tokens = 1,
                        .error = std::move(error)};
  text += writer->event(facts, {.choice = 0, .what = std::move(done)});
  out.whole = writer->whole(facts, {});
  for (std::size_t at = 0; (at = text.find("data: ", at)) != std::string::npos; ++at)
    out.events.push_back(object(std::string_view(text).substr(at + 6, text.find('\n', at) - at - 6)));
  return out;
}

const std::vector<chat::Event> kParts = {{.kind = chat::Event::Kind::kReasoning, .text = "hm"},
                                         {.kind = chat::Event::Kind::kText, .text = "I "},
                                         {.kind = chat::Event::Kind::kText, .text = "look"},
                                         {.kind = chat::Event::Kind::kCallStart, .text = "f", .id = "c1"},
                                         {.kind = chat::Event::Kind::kCallArguments, .text = "{\"a\":"},
                                         {.kind = chat::Event::Kind::kCallArguments, .text = "1}"},
                                         {.kind = chat::Event::Kind::kCallEnd}};

TEST(Responses, WritesTheOfficialEvents) {
  const Written written = write(kParts, chat::End::kCalls);
  EXPECT_EQ(written.types(),
            "created in_progress output_item.added content_part.added reasoning_text.delta "
            "reasoning_text.done content_part.done output_item.done output_item.added content_part.added "
            "output_text.delta output_text.delta output_text.done content_part.done output_item.done "
            "output_item.added function_call_arguments.delta function_call_arguments.delta "
            "function_call_arguments.done output_item.done completed ");
  for (std::size_t i = 0; i < written.events.size(); ++i)
    EXPECT_EQ(written.events[i].at("sequence_number").to_number<std::size_t>(), i);
  const json::object& delta = written.events[11];
  EXPECT_EQ(delta.at("output_index"), 1);
  EXPECT_EQ(delta.at("item_id"), written.events[8].at("item").at("id"));
  EXPECT_EQ(delta.at("logprobs").at(0).at("token"), "look");
  const json::value& response = written.events.back().at("response");
  EXPECT_EQ(response, written.whole);
  EXPECT_EQ(response, json::value(written.kept));
  EXPECT_EQ(response.at("id"), "resp_x");
  EXPECT_EQ(response.at("status"), "completed");
  EXPECT_EQ(response.at("output").at(0).at("content").at(0).at("text"), "hm");
  EXPECT_EQ(response.at("output").at(1).at("content").at(0).at("text"), "I look");
  EXPECT_EQ(response.at("output").at(1).at("content").at(0).at("logprobs").as_array().size(), 2u);
  const json::value& call = response.at("output").at(2);
  EXPECT_EQ(call.at("call_id"), "c1");
  EXPECT_EQ(call.at("arguments"), "{\"a\":1}");
  EXPECT_EQ(response.at("usage").at("total_tokens"), 12);
  EXPECT_EQ(response.at("usage").at("input_tokens_details").at("cached_tokens"), 2);
  // What it gives can be sent back.
  const auto again = read_response_items(response.at("output"));
  ASSERT_TRUE(again.ok()) << again.error().render();
  EXPECT_EQ(messages_of_items(*again).at(0).at("reasoning_content"), "hm");
}

TEST(Responses, EveryEndHasItsStatus) {
  const std::vector<chat::Event> text = {{.kind = chat::Event::Kind::kText, .text = "a"}};
  const Written cut = write(text, chat::End::kLength);
  EXPECT_EQ(cut.events.back().at("type"), "response.incomplete");
  EXPECT_EQ(cut.whole.at("incomplete_details").at("reason"), "max_output_tokens");
  EXPECT_EQ(cut.whole.at("output").at(0).at("status"), "incomplete");
  const Written failed =
      write(text, chat::End::kCancelled, Error{.kind = ErrorKind::kCancelled, .what = "stopped"});
  EXPECT_EQ(failed.events.back().at("type"), "response.failed");
  EXPECT_EQ(failed.kept.at("error").at("code"), "server_error");
  EXPECT_EQ(write(text, chat::End::kStopString).whole.at("status"), "completed");
  EXPECT_EQ(write({}, chat::End::kStop).types(), "created in_progress completed ");
}

}  // namespace
}  // namespace maestrale::serve
