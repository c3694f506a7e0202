// One request from prompt to answer.
#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/answer.h"
#include "engine/engine.h"

namespace maestrale::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kLength:
    case FinishReason::kContext:
      return "length";
    case FinishReason::kCancelled:
      break;
  }
  return "cancelled";
}

Result<Generation> Engine::generate(const GenerateRequest& request,
                                    const std::function<bool(const TokenEvent&)>& on_token,
                                    TokenConstraint* constraint) {
  const int sequence = open_sequence();
  Result<Generation> result = generate_on(sequence, 0, request, on_token, constraint);
  close_sequence(sequence);
  return result;
}

Result<Generation> Engine::generate_on(int sequence, std::int64_t cached, const GenerateRequest& request,
                                       const std::function<bool(const TokenEvent&)>& on_token,
                                       TokenConstraint* constraint) {
  TRY(check_request(request, info().vocabulary, context()));
  Answer answer = TRY(Answer::create(request, context(), tokenizer(), constraint));
  if (request.adapters) TRY(use_adapters(sequence, *request.adapters));
  const Clock::time_point start = Clock::now();
  const std::vector<text::TokenId>& history = answer.history();
  // The last token of the prompt is always computed: its logits choose the first token.
  cached = std::clamp<std::int64_t>(cached, 0, static_cast<std::int64_t>(history.size()) - 1);
  std::vector<float> logits(static_cast<std::size_t>(info().vocabulary));
  TRY(append(sequence, std::span(history).subspan(static_cast<std::size_t>(cached)), cached, logits.data()));
  const Clock::time_point prefilled = Clock::now();
  Generation generation;
  generation.prefill_s = seconds_between(start, prefilled);
  SamplerWorkspace workspace;
  for (;;) {
    const auto event = TRY(answer.next(logits, workspace));
    if (answer.tokens().size() <= 1) generation.first_token_s = seconds_between(start, Clock::now());
    if (event) {
      generation.text += event->text;
      if (on_token && !on_token(*event)) answer.cancel();
    }
    if (answer.over()) break;
    TRY(append(sequence, std::span(history).last(1), static_cast<std::int64_t>(history.size()) - 1,
               logits.data()));
  }
  if (const auto rest = answer.rest()) {
    generation.text += rest->text;
    if (on_token) on_token(*rest);
  }
  generation.tokens.assign(answer.tokens().begin(), answer.tokens().end());
  generation.reason = answer.reason();
  generation.decode_s = seconds_between(prefilled, Clock::now());
  return generation;
}

}  // namespace maestrale::engine
