// One request from prompt to answer.
#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/answer.h"
#include "engine/draft.h"
#include "engine/engine.h"
#include "engine/mtp_draft.h"

namespace maestrale::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Computes the last token of an answer together with guesses at what follows it.
class Stepper {
 public:
  Stepper(Engine& engine, int sequence, const GenerateRequest& request)
      : engine_(engine), sequence_(sequence), always_(request.always_draft), most_(request.drafts) {
    if (engine.kv().shape().state_bytes() > 0) most_ = 0;  // a state cannot forget what was wrong
    logits_.resize(vocabulary());
  }

  // The tokens of history from `cached` on; the logits of the last one.
  Status prefill(std::span<const text::TokenId> history, std::int64_t cached) {
    const auto tokens = history.subspan(static_cast<std::size_t>(cached));
    const Clock::time_point start = Clock::now();
    TRY(engine_.append(sequence_, tokens, cached, logits_.data()));
    meter_.add(std::ssize(tokens), seconds_between(start, Clock::now()));
    computed_ = std::ssize(history);
    return {};
  }

  // The last token of history, and guesses at up to `left` - 1 more.
  Status decode(std::span<const text::TokenId> history, std::int64_t left) {
    const std::int64_t most = std::min({most_, left - 1, engine_.context() - std::ssize(history)});
    // Nobody waits: the draft model may read all that it has not read yet.
    const Drafter::Step step{
        .most = most, .cost = meter_.cost(), .always = always_, .catch_up = std::ssize(history)};
    draft_ = drafter_.guess(sequence_, history, engine_.draft(), step);
    if (MtpDraft* mtp = engine_.mtp(); draft_.empty() && mtp != nullptr && engine_.draft() == nullptr) {
      const MtpDraft::Asked asked{sequence_, history, drafter_.choose_mtp(*mtp, step)};
      draft_ = mtp->guess(engine_, {&asked, 1}, always_).front();
    }
    tokens_.assign(1, history.back());
    tokens_.insert(tokens_.end(), draft_.begin(), draft_.end());
    logits_.resize(std::max(logits_.size(), tokens_.size() * vocabulary()));
    const Clock::time_point start = Clock::now();
    TRY(engine_.append(sequence_, tokens_, computed_, nullptr, logits_.data()));
    meter_.add(std::ssize(tokens_), seconds_between(start, Clock::now()));
    ++computed_;
    return {};
  }

  // The logits that choose the next token.
  std::span<const float> logits() const {
    return std::span(logits_).subspan(static_cast<std::size_t>(right_) * vocabulary(), vocabulary());
  }

  // `token` was chosen: whether its own logits are there already, because it was guessed.
  bool accept(text::TokenId token) {
    if (right_ == std::ssize(draft_) || draft_[static_cast<std::size_t>(right_)] != token) return false;
    ++right_;
    ++computed_;
    return true;
  }

  // After the last accept() of a step: forgets the guesses that were wrong.
  void settle(Generation& generation) {
    if (draft_.empty()) return;
    if (right_ < std::ssize(draft_)) engine_.truncate(sequence_, computed_);
    drafter_.add(std::ssize(draft_), right_);
    generation.guesses += std::ssize(draft_);
    generation.guessed_right += right_;
    draft_.clear();
    right_ = 0;
  }

 private:
  std::size_t vocabulary() const { return static_cast<std::size_t>(engine_.info().vocabulary); }

  Engine& engine_;
  int sequence_;
  bool always_;
  std::int64_t most_;
  std::int64_t computed_ = 0, right_ = 0;  // tokens of the history that the sequence holds; right guesses
  std::vector<text::TokenId> draft_, tokens_;
  std::vector<float> logits_;  // [1 + guesses][vocabulary]
  CostMeter meter_;
  Drafter drafter_;
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
  Stepper stepper(*this, sequence, request);
  TRY(stepper.prefill(history, cached));
  const Clock::time_point prefilled = Clock::now();
  Generation generation;
  generation.prefill_s = seconds_between(start, prefilled);
  SamplerWorkspace workspace;
  for (;;) {
    const auto event = TRY(answer.next(stepper.logits(), workspace));
    if (answer.tokens().size() <= 1) generation.first_token_s = seconds_between(start, Clock::now());
    if (event) {
      generation.text += event->text;
      if (on_token && !on_token(*event)) answer.cancel();
    }
    if (!answer.over() && stepper.accept(history.back())) continue;
    stepper.settle(generation);
    if (answer.over()) break;
    TRY(stepper.decode(history, answer.left()));
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
