#include <algorithm>
#include <mutex>

#include "grammar/compiled.h"
#include "grammar/key_tracker.h"

namespace maestrale::grammar {

struct Matcher::State {
  GrammarPtr grammar;
  TokenTablePtr tokens;
  std::shared_ptr<Walk> walk;
  StateStore::Id position = StateStore::kDead;
  KeyTracker keys;
  bool ended = false;

  void settle();
  bool advance(std::string_view bytes);
};

namespace {

void allow_only(std::span<std::uint64_t> mask, std::span<const text::TokenId> tokens) {
  std::vector<text::TokenId> kept;
  kept.reserve(tokens.size());
  for (const text::TokenId token : tokens) {
    const auto at = static_cast<std::size_t>(token);
    if (at / 64 < mask.size() && (mask[at / 64] >> at % 64 & 1) != 0) kept.push_back(token);
  }
  std::fill(mask.begin(), mask.end(), 0);
  for (const text::TokenId token : kept) {
    const auto at = static_cast<std::size_t>(token);
    mask[at / 64] |= std::uint64_t{1} << at % 64;
  }
}

void allow_only(std::span<std::uint64_t> mask, const std::vector<std::uint64_t>& bits) {
  const std::size_t shared = std::min(mask.size(), bits.size());
  for (std::size_t i = 0; i < shared; ++i) mask[i] &= bits[i];
  std::fill(mask.begin() + static_cast<std::ptrdiff_t>(shared), mask.end(), 0);
}

}  // namespace

// Moves to a fresh walk where the present one has grown too large.
void Matcher::State::settle() {
  {
    const std::lock_guard lock(walk->mutex);
    if (!walk->full()) return;
  }
  const std::shared_ptr<Walk> next = grammar->walk();
  if (next == walk) return;
  const std::scoped_lock lock(walk->mutex, next->mutex);
  position = next->states.import(walk->states, position);
  walk = next;
}

bool Matcher::State::advance(std::string_view bytes) {
  const std::lock_guard lock(walk->mutex);
  StateStore::Id at = position;
  for (const char byte : bytes) {
    at = walk->states.step(at, static_cast<std::uint8_t>(byte));
    if (at == StateStore::kDead) return false;
  }
  if (grammar->unique_keys() && !keys.push(bytes)) return false;
  position = at;
  return true;
}

Matcher::Matcher(GrammarPtr grammar, TokenTablePtr tokens) : state_(std::make_unique<State>()) {
  state_->grammar = std::move(grammar);
  state_->tokens = std::move(tokens);
  state_->walk = state_->grammar->walk();
  const std::lock_guard lock(state_->walk->mutex);
  state_->position = state_->walk->states.initial();
}

Matcher::~Matcher() = default;
Matcher::Matcher(Matcher&&) noexcept = default;
Matcher& Matcher::operator=(Matcher&&) noexcept = default;

void Matcher::mask(std::span<std::uint64_t> mask) {
  State& state = *state_;
  if (state.ended) return allow_only(mask, state.tokens->end_tokens());
  state.settle();
  const std::lock_guard lock(state.walk->mutex);
  const TokenMask& allowed = state.walk->mask(state.position, state.tokens);
  if (allowed.dense) {
    allow_only(mask, allowed.bits);
  } else {
    allow_only(mask, allowed.list);
  }
  if (!state.grammar->unique_keys()) return;
  for (const text::TokenId token : allowed.keyed) {
    const auto at = static_cast<std::size_t>(token);
    if (at / 64 >= mask.size() || state.keys.allows(state.tokens->bytes(token))) continue;
    mask[at / 64] &= ~(std::uint64_t{1} << at % 64);
  }
}

bool Matcher::accept(text::TokenId token) {
  State& state = *state_;
  if (state.tokens->ends(token)) {
    state.ended = state.ended || complete();
    return state.ended;
  }
  const std::string_view bytes = state.tokens->bytes(token);
  if (state.ended || bytes.empty()) return false;
  state.settle();
  return state.advance(bytes);
}

bool Matcher::begin_with(std::string_view text) {
  if (state_->ended) return text.empty();
  state_->settle();
  return state_->advance(text);
}

bool Matcher::finished() const {
  const std::lock_guard lock(state_->walk->mutex);
  return state_->ended ||
         (state_->walk->states.accepting(state_->position) && !state_->walk->states.live(state_->position));
}

bool Matcher::complete() const {
  const std::lock_guard lock(state_->walk->mutex);
  return state_->ended || state_->walk->states.accepting(state_->position);
}

}  // namespace maestrale::grammar
