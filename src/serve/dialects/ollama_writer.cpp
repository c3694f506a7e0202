#include "serve/dialects/ollama_writer.h"

#include <boost/json/serialize.hpp>

#include "serve/dialects/messages.h"
#include "serve/dialects/ollama.h"

namespace maestrale::serve {
namespace {

std::int64_t nanoseconds(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

class Writer final : public AnswerWriter {
 public:
  explicit Writer(bool generate) : generate_(generate) {}

  std::string stream_type() const override { return "application/x-ndjson"; }
  std::string sign_of_life() const override { return {}; }  // every line is an answer
  std::string begin(const AnswerFacts&) override { return {}; }

  json::value whole(const AnswerFacts& facts, const Collected& answer) override {
    const CollectedChoice& choice = answer.choices.front();
    json::object out = frame(facts);
    put_text(out, choice.text, choice.reasoning);
    json::array calls;
    for (const chat::Call& call : choice.calls) calls.push_back(call_json(call, calls.size()));
    if (!calls.empty() && !generate_) out["message"].as_object()["tool_calls"] = std::move(calls);
    put_end(out, facts, choice.done, answer.done);
    return out;
  }

  std::string event(const AnswerFacts& facts, const chat::AnswerEvent& event) override {
    if (const auto* done = std::get_if<chat::AnswerDone>(&event.what)) {
      if (done->error)
        return json::serialize(error_json(DialectName::kOllama, api_error(*done->error))) + "\n";
      json::object out = frame(facts);
      put_text(out, "", "");
      put_end(out, facts, end_, *done);
      return json::serialize(out) + "\n";
    }
    if (const auto* end = std::get_if<chat::ChoiceDone>(&event.what)) {
      end_ = *end;
      return {};
    }
    std::string out;
    for (const chat::Event& part : std::get<chat::ChoiceDelta>(event.what).events) out += piece(facts, part);
    return out;
  }

 private:
  json::object frame(const AnswerFacts& facts) const {
    return {{"model", facts.model}, {"created_at", ollama_time(static_cast<double>(facts.created_s))}};
  }

  void put_text(json::object& out, const std::string& text, const std::string& thoughts) const {
    if (generate_) {
      out["response"] = text;
      if (!thoughts.empty()) out["thinking"] = thoughts;
      return;
    }
    json::object message{{"role", "assistant"}, {"content", text}};
    if (!thoughts.empty()) message["thinking"] = thoughts;
    out["message"] = std::move(message);
  }

  static json::object call_json(const chat::Call& call, std::size_t index) {
    auto arguments = arguments_of(json::value(call.arguments), "arguments");
    const json::object function{
        {"index", index}, {"name", call.name}, {"arguments", arguments.ok() ? *arguments : json::object()}};
    return {{"id", call.id}, {"function", function}};
  }

  static void put_end(json::object& out, const AnswerFacts& facts, const chat::ChoiceDone& end,
                      const chat::AnswerDone& done) {
    const engine::Usage& usage = done.usage;
    out["done"] = true;
    out["done_reason"] = end.end == chat::End::kLength ? "length" : "stop";
    out["total_duration"] = nanoseconds(facts.load_s + usage.total_s);
    out["load_duration"] = nanoseconds(facts.load_s);
    out["prompt_eval_count"] = usage.prompt_tokens;
    out["prompt_eval_duration"] = nanoseconds(usage.prefill_s);
    out["eval_count"] = usage.completion_tokens;
    out["eval_duration"] = nanoseconds(std::max(0.0, usage.total_s - usage.queue_s - usage.prefill_s));
  }

  // Calls come whole.
  std::string piece(const AnswerFacts& facts, const chat::Event& part) {
    using Kind = chat::Event::Kind;
    json::object out = frame(facts);
    switch (part.kind) {
      case Kind::kText:
        put_text(out, part.text, "");
        break;
      case Kind::kReasoning:
        put_text(out, "", part.text);
        break;
      case Kind::kCallStart:
        call_ = {.id = part.id.empty() ? new_call_id() : part.id, .name = part.text};
        return {};
      case Kind::kCallArguments:
        call_.arguments += part.text;
        return {};
      case Kind::kCallEnd: {
        put_text(out, "", "");
        json::array calls;
        calls.push_back(call_json(call_, calls_++));
        if (!generate_) out["message"].as_object()["tool_calls"] = std::move(calls);
        break;
      }
    }
    out["done"] = false;
    return json::serialize(out) + "\n";
  }

  bool generate_;
  chat::Call call_;
  std::size_t calls_ = 0;
  chat::ChoiceDone end_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_ollama_writer(bool generate) { return std::make_unique<Writer>(generate); }

json::value ollama_loaded(const AnswerFacts& facts, bool generate, bool unloaded) {
  json::object out{{"model", facts.model}, {"created_at", ollama_time(static_cast<double>(facts.created_s))}};
  if (generate) {
    out["response"] = "";
  } else {
    out["message"] = json::object{{"role", "assistant"}, {"content", ""}};
  }
  out["done"] = true;
  out["done_reason"] = unloaded ? "unload" : "load";
  return out;
}

}  // namespace maestrale::serve
