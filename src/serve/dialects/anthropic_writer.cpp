#include "serve/dialects/anthropic_writer.h"

#include "base/json.h"
#include "serve/dialects/messages.h"

namespace maestrale::serve {
namespace {

std::string_view stop_reason(chat::End end) {
  switch (end) {
    case chat::End::kStop:
      return "end_turn";
    case chat::End::kStopString:
      return "stop_sequence";
    case chat::End::kCalls:
      return "tool_use";
    case chat::End::kLength:
    case chat::End::kCancelled:
      break;
  }
  return "max_tokens";
}

json::value stop_string(const chat::ChoiceDone& done) {
  return done.end == chat::End::kStopString ? json::value(done.stop_string) : json::value();
}

json::object usage_json(const engine::Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"output_tokens", usage.completion_tokens}};
}

class Writer final : public AnswerWriter {
 public:
  explicit Writer(bool timings) : timings_(timings) {}

  std::string sign_of_life() const override { return sse(json::object{{"type", "ping"}}, "ping"); }

  json::value whole(const AnswerFacts& facts, const Collected& answer) override {
    json::array content;
    const CollectedChoice& choice = answer.choices.front();
    if (!choice.reasoning.empty())
      content.push_back(
          json::object{{"type", "thinking"}, {"thinking", choice.reasoning}, {"signature", ""}});
    if (!choice.text.empty() || (choice.calls.empty() && choice.reasoning.empty()))
      content.push_back(json::object{{"type", "text"}, {"text", choice.text}});
    for (const chat::Call& call : choice.calls) {
      auto input = arguments_of(json::value(call.arguments), "arguments");
      content.push_back(json::object{{"type", "tool_use"},
                                     {"id", call.id},
                                     {"name", call.name},
                                     {"input", input.ok() ? *input : json::object()}});
    }
    json::object out{{"id", "msg_" + facts.id},
                     {"type", "message"},
                     {"role", "assistant"},
                     {"model", facts.model},
                     {"content", std::move(content)},
                     {"stop_reason", stop_reason(choice.done.end)},
                     {"stop_sequence", stop_string(choice.done)},
                     {"usage", usage_json(answer.done.usage)}};
    put_timings(timings_, answer.done.usage, out);
    return out;
  }

  std::string begin(const AnswerFacts& facts) override {
    const json::object usage{{"input_tokens", facts.prompt_tokens}, {"output_tokens", 0}};
    const json::object message{{"id", "msg_" + facts.id},  {"type", "message"},
                               {"role", "assistant"},      {"model", facts.model},
                               {"content", json::array()}, {"stop_reason", nullptr},
                               {"stop_sequence", nullptr}, {"usage", usage}};
    return sse(json::object{{"type", "message_start"}, {"message", message}}, "message_start");
  }

  std::string event(const AnswerFacts&, const chat::AnswerEvent& event) override {
    if (const auto* done = std::get_if<chat::AnswerDone>(&event.what)) return last(*done);
    if (const auto* end = std::get_if<chat::ChoiceDone>(&event.what)) {
      end_ = *end;
      std::string out;
      if (index_ == 0 && open_.empty()) out += start("text", json::object{{"type", "text"}, {"text", ""}});
      return out + stop();
    }
    std::string out;
    for (const chat::Event& part : std::get<chat::ChoiceDelta>(event.what).events) out += piece(part);
    return out;
  }

 private:
  std::string start(std::string_view kind, json::object block) {
    open_ = kind;
    return sse(
        json::object{{"type", "content_block_start"}, {"index", index_}, {"content_block", std::move(block)}},
        "content_block_start");
  }

  std::string stop() {
    if (open_.empty()) return {};
    std::string out;
    if (open_ == "thinking") out += delta(json::object{{"type", "signature_delta"}, {"signature", ""}});
    out += sse(json::object{{"type", "content_block_stop"}, {"index", index_}}, "content_block_stop");
    open_.clear();
    ++index_;
    return out;
  }

  std::string delta(json::object what) const {
    return sse(json::object{{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(what)}},
               "content_block_delta");
  }

  std::string piece(const chat::Event& part) {
    using Kind = chat::Event::Kind;
    std::string out;
    switch (part.kind) {
      case Kind::kText:
        if (open_ != "text") {
          out += stop();
          out += start("text", {{"type", "text"}, {"text", ""}});
        }
        return out + delta({{"type", "text_delta"}, {"text", part.text}});
      case Kind::kReasoning:
        if (open_ != "thinking") {
          out += stop();
          out += start("thinking", {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
        }
        return out + delta({{"type", "thinking_delta"}, {"thinking", part.text}});
      case Kind::kCallStart:
        out += stop();
        return out + start("tool_use", {{"type", "tool_use"},
                                        {"id", part.id.empty() ? new_call_id() : part.id},
                                        {"name", part.text},
                                        {"input", json::object()}});
      case Kind::kCallArguments:
        return delta({{"type", "input_json_delta"}, {"partial_json", part.text}});
      case Kind::kCallEnd:
        return stop();
    }
    return out;
  }

  std::string last(const chat::AnswerDone& done) {
    if (done.error) return sse(error_json(DialectName::kAnthropic, api_error(*done.error)), "error");
    const json::object change{{"stop_reason", stop_reason(end_.end)}, {"stop_sequence", stop_string(end_)}};
    json::object delta{{"type", "message_delta"}, {"delta", change}, {"usage", usage_json(done.usage)}};
    put_timings(timings_, done.usage, delta);
    return sse(delta, "message_delta") + sse(json::object{{"type", "message_stop"}}, "message_stop");
  }

  bool timings_;
  std::int64_t index_ = 0;
  std::string open_;  // the kind of the block under way
  chat::ChoiceDone end_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_anthropic_writer(bool timings) {
  return std::make_unique<Writer>(timings);
}

}  // namespace maestrale::serve
