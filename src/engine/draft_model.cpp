#include "engine/draft_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "base/utf8.h"
#include "engine/draft.h"

namespace maestrale::engine {
namespace {

using Clock = std::chrono::steady_clock;

Error other_vocabulary(const files::Checkpoint& draft, std::string expected, std::string found) {
  return {.kind = ErrorKind::kUsage,
          .what = "a draft model must have the vocabulary of the model that it guesses for",
          .where = draft.path.string(),
          .expected = std::move(expected),
          .found = std::move(found),
          .hint = "take a smaller model of the same family"};
}

}  // namespace

// Families pad their vocabularies differently, so only tokens that both have are compared.
Status check_same_vocabulary(const files::Checkpoint& target, const files::Checkpoint& draft) {
  if (target.tokenizer == nullptr || draft.tokenizer == nullptr) {
    const files::Checkpoint& without = target.tokenizer == nullptr ? target : draft;
    return Error{.kind = ErrorKind::kUsage,
                 .what = "whether a draft model fits is seen by the tokenizers, and one is missing",
                 .where = without.path.string(),
                 .found = without.tokenizer_problem};
  }
  const text::Tokenizer &a = *target.tokenizer, &b = *draft.tokenizer;
  const auto described = [](const text::Tokenizer& tokenizer, text::TokenId token) {
    return fmt::format("token {} is '{}'", token, replace_invalid_utf8(tokenizer.bytes(token)));
  };
  for (text::TokenId token = 0; token < std::min(a.size(), b.size()); ++token) {
    if (a.bytes(token) != b.bytes(token) || a.kind(token) != b.kind(token))
      return other_vocabulary(draft, described(a, token), described(b, token));
  }
  // A few more are padding or added; another family's are thousands.
  constexpr std::int32_t kPadding = 1024;
  if (std::abs(a.size() - b.size()) <= kPadding) return {};
  return other_vocabulary(draft, fmt::format("{} tokens", a.size()), fmt::format("{} tokens", b.size()));
}

DraftModel::DraftModel(std::unique_ptr<Engine> engine)
    : engine_(std::move(engine)), logits_(static_cast<std::size_t>(engine_->info().vocabulary)) {}

Result<std::unique_ptr<DraftModel>> DraftModel::create(std::unique_ptr<Engine> engine) {
  if (engine->kv().shape().state_bytes() > 0) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "a recurrent model cannot take back a guess",
                 .where = engine->checkpoint().path.string(),
                 .expected = "a draft model with attention alone",
                 .found = engine->info().architecture};
  }
  return std::unique_ptr<DraftModel>(
      new DraftModel(std::move(engine)));  // NOLINT: the constructor is private
}

DraftModel::Follower& DraftModel::follower(int sequence) {
  Follower& found = followers_[sequence];
  if (found.sequence < 0) found.sequence = engine_->open_sequence();
  return found;
}

void DraftModel::forget(int sequence) {
  const auto found = followers_.find(sequence);
  if (found == followers_.end()) return;
  engine_->close_sequence(found->second.sequence);
  followers_.erase(found);
}

// The logits of the last token become logits_. False where there is no room: others make it then.
bool DraftModel::read(Follower& follower, std::span<const text::TokenId> tokens) {
  const auto at = std::ssize(follower.tokens);
  if (!engine_->append(follower.sequence, tokens, at, logits_.data()).ok()) {
    std::vector<int> sequences;
    for (const auto& [sequence, other] : followers_) sequences.push_back(sequence);
    for (const int sequence : sequences) forget(sequence);
    return false;
  }
  follower.tokens.insert(follower.tokens.end(), tokens.begin(), tokens.end());
  return true;
}

void DraftModel::learn(double seconds) {
  constexpr double kFade = 0.9;
  seconds_ = seconds_ == 0 ? seconds : kFade * seconds_ + (1 - kFade) * seconds;
}

std::vector<text::TokenId> DraftModel::guess(int sequence, std::span<const text::TokenId> history,
                                             std::int64_t most, std::int64_t rows, bool bold) {
  most = std::min(most, engine_->context() - std::ssize(history));
  const auto unknown = [this](text::TokenId token) { return token >= engine_->info().vocabulary; };
  if (most <= 0 || std::any_of(history.begin(), history.end(), unknown)) return {};
  Follower& follows = follower(sequence);
  const auto fork =
      std::mismatch(follows.tokens.begin(), follows.tokens.end(), history.begin(), history.end());
  // The last token is always read: its logits are the first guess.
  const auto same = std::min(fork.first - follows.tokens.begin(), std::ssize(history) - 1);
  if (same < std::ssize(follows.tokens)) {
    engine_->truncate(follows.sequence, same);
    follows.tokens.resize(static_cast<std::size_t>(same));
  }
  auto unread = history.subspan(static_cast<std::size_t>(same));
  const bool in_time = std::ssize(unread) <= rows;
  if (!in_time) unread = unread.first(static_cast<std::size_t>(rows));
  const auto start = Clock::now();
  if (!read(follows, unread) || !in_time) return {};
  std::vector<text::TokenId> guesses;
  double chance = 1;
  while (const auto token = likeliest_token(logits_, bold ? 0 : kUnsure, chance)) {
    guesses.push_back(*token);
    if (std::ssize(guesses) == most || !read(follows, {&*token, 1})) break;
  }
  const std::chrono::duration<double> taken = Clock::now() - start;
  const auto forwards = std::max<std::size_t>(1, guesses.size());
  if (unread.size() <= 2) learn(taken.count() / static_cast<double>(forwards));
  return guesses;
}

}  // namespace maestrale::engine
