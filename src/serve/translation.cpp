#include "serve/translation.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <random>

namespace maestrale::serve {

chat::CommonRequest& Translation::common() {
  if (auto* chat = std::get_if<chat::ChatRequest>(&request)) return chat->common;
  return std::get<chat::TextRequest>(request).common;
}

void collect(Collected& into, chat::AnswerEvent event) {
  if (auto* done = std::get_if<chat::AnswerDone>(&event.what)) {
    into.done = std::move(*done);
    return;
  }
  const auto index = static_cast<std::size_t>(event.choice);
  if (into.choices.size() <= index) into.choices.resize(index + 1);
  CollectedChoice& choice = into.choices[index];
  if (auto* done = std::get_if<chat::ChoiceDone>(&event.what)) {
    choice.done = std::move(*done);
    return;
  }
  auto& delta = std::get<chat::ChoiceDelta>(event.what);
  if (delta.note) choice.notes.push_back(*std::move(delta.note));
  for (chat::Event& part : delta.events) {
    switch (part.kind) {
      case chat::Event::Kind::kText:
        choice.text += part.text;
        break;
      case chat::Event::Kind::kReasoning:
        choice.reasoning += part.text;
        break;
      case chat::Event::Kind::kCallStart:
        choice.calls.push_back({.id = part.id.empty() ? new_call_id() : part.id, .name = part.text});
        break;
      case chat::Event::Kind::kCallArguments:
        if (!choice.calls.empty()) choice.calls.back().arguments += part.text;
        break;
      case chat::Event::Kind::kCallEnd:
        break;
    }
  }
}

ApiError api_error(const Error& error) {
  ApiError out{.status = 500, .message = error.what, .field = error.where};
  switch (error.kind) {
    case ErrorKind::kUsage:
    case ErrorKind::kInvalidInput:
    case ErrorKind::kUnsupported:
      out.status = 400;
      break;
    case ErrorKind::kNotFound:
      out.status = 404;
      break;
    case ErrorKind::kResource:
      out.status = 429;
      break;
    case ErrorKind::kCancelled:
      out.status = 503;
      break;
    case ErrorKind::kIo:
      break;
  }
  if (!error.expected.empty()) out.message += ": expected " + error.expected;
  if (!error.found.empty()) out.message += ", found " + error.found;
  if (!error.hint.empty()) out.message += "; " + error.hint;
  return out;
}

namespace {

std::string_view openai_type(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 404) return "not_found_error";
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

std::string_view anthropic_type(int status) {
  if (status == 413) return "request_too_large";
  if (status == 503 || status == 529) return "overloaded_error";
  return status >= 500 ? "api_error" : openai_type(status);
}

json::value or_null(const std::string& text) { return text.empty() ? json::value() : json::value(text); }

}  // namespace

json::value error_json(DialectName dialect, const ApiError& error) {
  std::string message = error.message;
  // These shapes have no place for the field but the text.
  const bool names_field = error.field.empty() || message.find("'" + error.field + "'") != std::string::npos;
  switch (dialect) {
    case DialectName::kAnthropic:
      if (!names_field) message = error.field + ": " + message;
      return json::object{{"type", "error"},
                          {"error", {{"type", anthropic_type(error.status)}, {"message", message}}},
                          {"request_id", nullptr}};
    case DialectName::kOllama:
      if (!names_field) message = error.field + ": " + message;
      return json::object{{"error", message}};
    case DialectName::kMistral:
      return json::object{{"object", "error"},
                          {"message", message},
                          {"type", openai_type(error.status)},
                          {"param", or_null(error.field)},
                          {"code", nullptr}};
    case DialectName::kOpenAi:
      break;
  }
  json::value code;
  if (error.status == 404 && error.field == "model") code = "model_not_found";
  if (error.status == 401) code = "invalid_api_key";
  if (error.status == 429) code = "rate_limit_exceeded";
  const json::object inner{{"message", message},
                           {"type", openai_type(error.status)},
                           {"param", or_null(error.field)},
                           {"code", code}};
  return json::object{{"error", inner}};
}

void put_timings(bool wanted, const engine::Usage& usage, json::object& out) {
  if (!wanted) return;
  const auto rate = [](std::int64_t count, double seconds) {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
  };
  const std::int64_t computed = usage.prompt_tokens - usage.cached_tokens;
  const double answer_s = std::max(0.0, usage.total_s - usage.first_token_s);
  out["timings"] = json::object{{"queue_ms", usage.queue_s * 1e3},
                                {"cache_n", usage.cached_tokens},
                                {"prompt_n", computed},
                                {"prompt_ms", usage.prefill_s * 1e3},
                                {"prompt_per_second", rate(computed, usage.prefill_s)},
                                {"first_token_ms", usage.first_token_s * 1e3},
                                {"predicted_n", usage.completion_tokens},
                                {"predicted_ms", answer_s * 1e3},
                                {"predicted_per_second", rate(usage.completion_tokens - 1, answer_s)},
                                {"total_ms", usage.total_s * 1e3}};
}

std::string sse(const json::value& data, std::string_view event) {
  std::string out;
  if (!event.empty()) {
    out += "event: ";
    out += event;
    out += '\n';
  }
  return out + "data: " + json::serialize(data) + "\n\n";
}

std::string new_id(std::size_t length) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  thread_local std::mt19937_64 random{(std::uint64_t{std::random_device()()} << 32) ^ std::random_device()()};
  std::string out;
  for (std::size_t i = 0; i < length; ++i) out += kLetters[random() % kLetters.size()];
  return out;
}

std::string new_call_id() { return new_id(9); }

}  // namespace maestrale::serve
