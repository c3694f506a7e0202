#include <ctime>
#include <utility>

#include "serve/dialects/openai_writer.h"
#include "serve/dialects/responses.h"

namespace maestrale::serve {
namespace {

enum class Open { kNothing, kMessage, kReasoning, kCall };

json::object usage_json(const chat::AnswerDone& done) {
  const engine::Usage& usage = done.usage;
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", json::object{{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", json::object{{"reasoning_tokens", done.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

// Puts the answer together item by item; a stream is what is said on the way.
class Writer final : public AnswerWriter {
 public:
  explicit Writer(ResponsesWriterOptions options) : options_(std::move(options)) {}

  bool sees_events() const override { return true; }
  json::value whole(const AnswerFacts&, const Collected&) override { return response_; }

  std::string begin(const AnswerFacts& facts) override {
    response_ = empty_response(facts, options_.echo, "in_progress");
    std::string out = say("response.created", {{"response", response_}});
    out += say("response.in_progress", {{"response", response_}});
    return out;
  }

  std::string event(const AnswerFacts& facts, const chat::AnswerEvent& event) override {
    std::string out;
    if (response_.empty()) out += begin(facts);
    if (const auto* done = std::get_if<chat::AnswerDone>(&event.what)) return out + last(*done);
    if (const auto* end = std::get_if<chat::ChoiceDone>(&event.what)) {
      end_ = end->end;
      return out + close();
    }
    const auto& delta = std::get<chat::ChoiceDelta>(event.what);
    if (delta.note && options_.logprobs) held_.push_back(openai_logprob(*delta.note));
    for (const chat::Event& part : delta.events) out += piece(part);
    return out;
  }

 private:
  std::string say(std::string_view type, json::object fields) {
    fields["type"] = type;
    fields["sequence_number"] = sequence_++;
    return sse(fields, type);
  }

  // An event of the item under way.
  std::string say_of_item(std::string_view type, json::object fields) {
    fields["item_id"] = item_.at("id");
    fields["output_index"] = items_.size();
    if (open_ != Open::kCall) fields["content_index"] = 0;
    return say(type, std::move(fields));
  }

  std::string piece(const chat::Event& part) {
    using Kind = chat::Event::Kind;
    switch (part.kind) {
      case Kind::kText: {
        std::string out = open(Open::kMessage);
        json::array notes = std::exchange(held_, {});
        text_ += part.text;
        for (const json::value& note : notes) logprobs_.push_back(note);
        return out + say_of_item("response.output_text.delta",
                                 {{"delta", part.text}, {"logprobs", std::move(notes)}});
      }
      case Kind::kReasoning: {
        std::string out = open(Open::kReasoning);
        held_.clear();
        text_ += part.text;
        return out + say_of_item("response.reasoning_text.delta", {{"delta", part.text}});
      }
      case Kind::kCallStart:
        return open_call(part);
      case Kind::kCallArguments:
        held_.clear();
        text_ += part.text;
        return say_of_item("response.function_call_arguments.delta", {{"delta", part.text}});
      case Kind::kCallEnd:
        return close();
    }
    return {};
  }

  std::string open(Open kind) {
    if (open_ == kind) return {};
    std::string out = close();
    open_ = kind;
    item_ = kind == Open::kMessage
                ? json::object{{"type", "message"}, {"id", "msg_" + new_id(24)}, {"role", "assistant"}}
                : json::object{{"type", "reasoning"}, {"id", "rs_" + new_id(24)}, {"summary", json::array()}};
    item_["status"] = "in_progress";
    item_["content"] = json::array();
    out += say("response.output_item.added", {{"output_index", items_.size()}, {"item", item_}});
    return out + say_of_item("response.content_part.added", {{"part", content_part()}});
  }

  std::string open_call(const chat::Event& part) {
    std::string out = close();
    open_ = Open::kCall;
    item_ = {{"type", "function_call"},
             {"id", "fc_" + new_id(24)},
             {"call_id", part.id.empty() ? new_call_id() : part.id},
             {"name", part.text},
             {"arguments", ""},
             {"status", "in_progress"}};
    return out + say("response.output_item.added", {{"output_index", items_.size()}, {"item", item_}});
  }

  json::object content_part() const {
    if (open_ == Open::kReasoning) return {{"type", "reasoning_text"}, {"text", text_}};
    return {
        {"type", "output_text"}, {"text", text_}, {"annotations", json::array()}, {"logprobs", logprobs_}};
  }

  // Ends the item under way.
  std::string close() {
    if (open_ == Open::kNothing) return {};
    std::string out;
    const bool cut = end_ == chat::End::kLength || end_ == chat::End::kCancelled;
    item_["status"] = cut ? "incomplete" : "completed";
    if (open_ == Open::kCall) {
      item_["arguments"] = text_;
      out += say_of_item("response.function_call_arguments.done",
                         {{"arguments", text_}, {"name", item_.at("name")}});
    } else {
      item_["content"].as_array().push_back(content_part());
      json::object done{{"text", text_}};
      if (open_ == Open::kMessage) done["logprobs"] = logprobs_;
      out +=
          say_of_item(open_ == Open::kMessage ? "response.output_text.done" : "response.reasoning_text.done",
                      std::move(done));
      out += say_of_item("response.content_part.done", {{"part", content_part()}});
    }
    out += say("response.output_item.done", {{"output_index", items_.size()}, {"item", item_}});
    items_.push_back(std::exchange(item_, {}));
    open_ = Open::kNothing;
    text_.clear();
    logprobs_.clear();
    return out;
  }

  std::string last(const chat::AnswerDone& done) {
    std::string out = close();
    std::string status = "completed";
    if (end_ == chat::End::kLength) status = "incomplete";
    if (end_ == chat::End::kCancelled) status = "cancelled";
    if (done.error) status = "failed";
    response_["status"] = status;
    response_["output"] = items_;
    response_["usage"] = usage_json(done);
    put_timings(options_.timings, done.usage, response_);
    if (status == "completed") response_["completed_at"] = std::time(nullptr);
    if (status == "incomplete")
      response_["incomplete_details"] = json::object{{"reason", "max_output_tokens"}};
    if (done.error)
      response_["error"] =
          json::object{{"code", "server_error"}, {"message", api_error(*done.error).message}};
    if (options_.finished) options_.finished(response_);
    // A stream has no event for a response that was cancelled: only background responses are.
    const std::string type = "response." + (status == "cancelled" ? "incomplete" : status);
    return out + say(type, {{"response", response_}});
  }

  ResponsesWriterOptions options_;
  json::object response_;
  json::array items_;  // that are over
  json::object item_;  // under way
  Open open_ = Open::kNothing;
  std::string text_;  // of the item under way, or its arguments
  json::array logprobs_, held_;
  chat::End end_ = chat::End::kStop;
  std::int64_t sequence_ = 0;
};

}  // namespace

json::object empty_response(const AnswerFacts& facts, const json::object& echo, std::string_view status) {
  json::object out{{"id", "resp_" + facts.id}, {"object", "response"},    {"created_at", facts.created_s},
                   {"status", status},         {"error", nullptr},        {"incomplete_details", nullptr},
                   {"model", facts.model},     {"output", json::array()}, {"usage", nullptr}};
  for (const auto& [key, value] : echo) out[key] = value;
  return out;
}

std::unique_ptr<AnswerWriter> make_responses_writer(ResponsesWriterOptions options) {
  return std::make_unique<Writer>(std::move(options));
}

}  // namespace maestrale::serve
