#include "engine/answer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace maestrale::engine {
namespace {

Result<StopMatcher> make_stops(const GenerateRequest& request, const text::Tokenizer* tokenizer) {
  std::vector<text::TokenId> tokens = request.stop_tokens;
  if (tokenizer != nullptr && !request.ignore_end) {
    tokens.insert(tokens.end(), tokenizer->end_tokens().begin(), tokenizer->end_tokens().end());
  }
  return StopMatcher::create(request.stop_strings, std::move(tokens));
}

}  // namespace

Status check_request(const GenerateRequest& request, std::int64_t vocabulary, std::int64_t context) {
  TRY(request.sampling.validate());
  if (request.prompt.empty()) {
    return Error{.kind = ErrorKind::kUsage, .what = "the prompt is empty", .hint = "give at least one token"};
  }
  if (request.max_tokens < -1) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "max_tokens out of range",
                 .expected = "0 and up, or -1",
                 .found = std::to_string(request.max_tokens)};
  }
  if (request.drafts < 0) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "drafts out of range",
                 .expected = "0 and up",
                 .found = std::to_string(request.drafts)};
  }
  const auto length = static_cast<std::int64_t>(request.prompt.size());
  if (length > context) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the prompt is longer than the context",
                 .expected = "at most " + std::to_string(context) + " tokens",
                 .found = std::to_string(length) + " tokens",
                 .hint = "use a larger --context or a shorter prompt"};
  }
  for (const text::TokenId token : request.prompt) {
    if (token >= 0 && token < vocabulary) continue;
    return Error{.what = "token id out of range",
                 .where = "prompt",
                 .expected = "0 … " + std::to_string(vocabulary - 1),
                 .found = std::to_string(token)};
  }
  return {};
}

Result<Answer> Answer::create(const GenerateRequest& request, std::int64_t context,
                              const text::Tokenizer* tokenizer, TokenConstraint* constraint) {
  Answer answer;
  answer.stops_ = TRY(make_stops(request, tokenizer));
  answer.history_ = request.prompt;
  answer.prompt_ = request.prompt.size();
  answer.sampling_ = request.sampling;
  answer.max_tokens_ = request.max_tokens;
  answer.context_ = context;
  answer.constraint_ = constraint;
  if (tokenizer != nullptr) answer.decoder_.emplace(*tokenizer);
  // A blank at the start of a text is the vocabulary's own; further on it is part of the text.
  if (tokenizer != nullptr && request.continues_text) {
    (void)answer.decoder_->push(request.prompt.back());
    (void)answer.decoder_->flush();
  }
  return answer;
}

Result<Sample> Answer::sample(std::span<const float> logits, SamplerWorkspace& workspace) {
  if (constraint_ != nullptr) {
    allowed_.assign((logits.size() + 63) / 64, ~std::uint64_t{0});
    constraint_->mask(allowed_);
  }
  return sample_token(logits, history_, sampling_, history_.size(), workspace, allowed_);
}

std::optional<FinishReason> Answer::end_after_token() const {
  if (stops_.stopped()) return FinishReason::kStopString;
  if (constraint_ != nullptr && constraint_->finished()) return FinishReason::kStopToken;
  if (is_full()) return FinishReason::kLength;
  // The last token needs no place of its own: nothing is computed from it.
  if (static_cast<std::int64_t>(history_.size()) > context_) return FinishReason::kContext;
  return std::nullopt;
}

Result<std::optional<TokenEvent>> Answer::next(std::span<const float> logits, SamplerWorkspace& workspace) {
  CHECK(!over(), "an answer that is over has no next token");
  if (is_full()) {
    reason_ = FinishReason::kLength;
    return std::optional<TokenEvent>();
  }
  const bool complete = constraint_ != nullptr && constraint_->finished();
  Sample chosen = complete ? Sample{} : TRY(sample(logits, workspace));
  if (complete || stops_.is_stop_token(chosen.token)) {
    reason_ = FinishReason::kStopToken;
    return std::optional<TokenEvent>();
  }
  if (constraint_ != nullptr && !constraint_->accept(chosen.token)) {
    return Error{.what = "the constraint refused a token that its mask allowed",
                 .where = "constraint",
                 .found = std::to_string(chosen.token)};
  }
  history_.push_back(chosen.token);
  TokenEvent event{
      .token = chosen.token, .text = {}, .logprob = chosen.logprob, .top_logprobs = std::move(chosen.top)};
  if (decoder_) event.text = stops_.push(decoder_->push(chosen.token));
  reason_ = end_after_token();
  return std::optional(std::move(event));
}

std::optional<TokenEvent> Answer::rest() {
  if (!decoder_ || stops_.stopped()) return std::nullopt;
  std::string text = stops_.push(decoder_->flush());
  if (!stops_.stopped()) text += stops_.flush();
  if (text.empty()) return std::nullopt;
  return TokenEvent{.token = 0, .text = std::move(text), .logprob = 0, .top_logprobs = {}, .is_token = false};
}

}  // namespace maestrale::engine
