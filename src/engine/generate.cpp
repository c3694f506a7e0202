// One request from prompt to answer.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "engine/engine.h"
#include "engine/sampler/stop.h"

namespace maestrale::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

Status check_request(const GenerateRequest& request, std::int64_t context) {
  TRY(request.sampling.validate());
  if (request.prompt.empty()) {
    return Error{.kind = ErrorKind::kUsage, .what = "the prompt is empty", .hint = "give at least one token"};
  }
  if (request.max_tokens < -1) {
    return Error{.kind = ErrorKind::kUsage, .what = "max_tokens out of range", .expected = "0 and up, or -1",
                 .found = std::to_string(request.max_tokens)};
  }
  const auto length = static_cast<std::int64_t>(request.prompt.size());
  if (length <= context) return {};
  return Error{.kind = ErrorKind::kResource, .what = "the prompt is longer than the context",
               .expected = "at most " + std::to_string(context) + " tokens",
               .found = std::to_string(length) + " tokens", .hint = "use a larger --context or a shorter prompt"};
}

Result<StopMatcher> make_stops(const GenerateRequest& request, const text::Tokenizer* tokenizer) {
  std::vector<text::TokenId> tokens = request.stop_tokens;
  if (tokenizer != nullptr && !request.ignore_end) {
    tokens.insert(tokens.end(), tokenizer->end_tokens().begin(), tokenizer->end_tokens().end());
  }
  return StopMatcher::create(request.stop_strings, std::move(tokens));
}

// Turns sampled tokens into text, watches for the end, and tells the caller.
class Answer {
 public:
  Answer(StopMatcher stops, const text::Tokenizer* tokenizer, const std::function<bool(const TokenEvent&)>& on_token)
      : stops_(std::move(stops)), on_token_(on_token) {
    if (tokenizer != nullptr) decoder_.emplace(*tokenizer);
  }

  // True when the answer is over.
  bool add(const Sample& sample) {
    if (stops_.is_stop_token(sample.token)) return finish(FinishReason::kStopToken);
    generation.tokens.push_back(sample.token);
    TokenEvent event{.token = sample.token, .text = {}, .logprob = sample.logprob, .top_logprobs = sample.top};
    if (decoder_) event.text = stops_.push(decoder_->push(sample.token));
    generation.text += event.text;
    if (on_token_ && !on_token_(event)) return finish(FinishReason::kCancelled);
    return stops_.stopped() && finish(FinishReason::kStopString);
  }

  // Text still held back, at the end.
  void close() {
    if (!decoder_ || stops_.stopped()) return;
    std::string rest = stops_.push(decoder_->flush());
    if (!stops_.stopped()) rest += stops_.flush();
    generation.text += rest;
    if (rest.empty() || !on_token_ || generation.tokens.empty()) return;
    on_token_({.token = generation.tokens.back(), .text = rest, .logprob = 0, .top_logprobs = {}});
  }

  bool finish(FinishReason reason) {
    generation.reason = reason;
    return true;
  }

  Generation generation;

 private:
  StopMatcher stops_;
  const std::function<bool(const TokenEvent&)>& on_token_;
  std::optional<text::StreamDecoder> decoder_;
};

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
                                    const std::function<bool(const TokenEvent&)>& on_token) {
  const int sequence = open_sequence();
  Result<Generation> result = generate_on(sequence, 0, request, on_token);
  close_sequence(sequence);
  return result;
}

Result<Generation> Engine::generate_on(int sequence, std::int64_t cached, const GenerateRequest& request,
                                       const std::function<bool(const TokenEvent&)>& on_token) {
  TRY(check_request(request, context()));
  Answer answer(TRY(make_stops(request, tokenizer())), tokenizer(), on_token);
  const Clock::time_point start = Clock::now();
  std::vector<text::TokenId> history = request.prompt;
  // The last token of the prompt is always computed: its logits choose the first token.
  cached = std::clamp<std::int64_t>(cached, 0, static_cast<std::int64_t>(history.size()) - 1);
  std::vector<float> logits(static_cast<std::size_t>(info().vocabulary));
  TRY(append(sequence, std::span(history).subspan(static_cast<std::size_t>(cached)), cached, logits.data()));
  const Clock::time_point prefilled = Clock::now();
  Generation& generation = answer.generation;
  generation.prefill_s = seconds_between(start, prefilled);
  SamplerWorkspace workspace;
  for (;;) {
    const auto made = static_cast<std::int64_t>(generation.tokens.size());
    if (request.max_tokens >= 0 && made >= request.max_tokens && answer.finish(FinishReason::kLength)) break;
    const Sample sample = TRY(sample_token(logits, history, request.sampling, history.size(), workspace));
    if (made == 0) generation.first_token_s = seconds_between(start, Clock::now());
    if (answer.add(sample)) break;
    const auto position = static_cast<std::int64_t>(history.size());
    history.push_back(sample.token);
    if (made + 1 == request.max_tokens && answer.finish(FinishReason::kLength)) break;
    if (position >= context() && answer.finish(FinishReason::kContext)) break;
    TRY(append(sequence, std::span(history).last(1), position, logits.data()));
  }
  answer.close();
  generation.decode_s = seconds_between(prefilled, Clock::now());
  return std::move(generation);
}

}  // namespace maestrale::engine
