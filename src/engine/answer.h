// Answer: one answer as it grows, from logits to tokens and text, until it is over. Engine::generate and the
// service use the same, so the same request has the same answer from both.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/sampler/sampler.h"

namespace maestrale::engine {

// Errors: kUsage names a field out of range, kResource a prompt longer than `context`.
Status check_request(const GenerateRequest& request, std::int64_t vocabulary, std::int64_t context);

class Answer {
 public:
  // A checked request. `tokenizer` and `constraint` may be null and outlive the answer. kUsage: stop strings.
  static Result<Answer> create(const GenerateRequest& request, std::int64_t context,
                               const text::Tokenizer* tokenizer, TokenConstraint* constraint);

  // Chooses the token that follows history() from its last position's logits ([vocabulary]); nothing where
  // the answer is over without another token. Errors: those of the sampler.
  Result<std::optional<TokenEvent>> next(std::span<const float> logits, SamplerWorkspace& workspace);
  // The text still held back, once, after the answer is over; `is_token` is false in it.
  std::optional<TokenEvent> rest();

  bool over() const { return reason_.has_value(); }
  FinishReason reason() const { return *reason_; }
  void cancel() { reason_ = FinishReason::kCancelled; }
  const std::vector<text::TokenId>& history() const { return history_; }  // the prompt, then the answer
  // Tokens that max_tokens leaves room for.
  std::int64_t left() const {
    return max_tokens_ < 0 ? context_ : max_tokens_ - static_cast<std::int64_t>(tokens().size());
  }
  std::span<const text::TokenId> tokens() const { return std::span(history_).subspan(prompt_); }

 private:
  Result<Sample> sample(std::span<const float> logits, SamplerWorkspace& workspace);
  std::optional<FinishReason> end_after_token() const;
  bool is_full() const {
    return max_tokens_ >= 0 && static_cast<std::int64_t>(tokens().size()) >= max_tokens_;
  }

  std::vector<text::TokenId> history_;
  std::size_t prompt_ = 0;  // tokens of the prompt
  SamplingParams sampling_;
  std::int64_t max_tokens_ = -1, context_ = 0;
  StopMatcher stops_;
  std::optional<text::StreamDecoder> decoder_;
  TokenConstraint* constraint_ = nullptr;
  std::vector<std::uint64_t> allowed_;  // the constraint's mask
  std::optional<FinishReason> reason_;
};

}  // namespace maestrale::engine
