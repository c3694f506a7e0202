// Masks of tokens, as engine::TokenConstraint has them: token t is bit t % 64 of word t / 64.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "text/tokenizer/tokenizer.h"

namespace maestrale::chat {

using TokenMask = std::span<std::uint64_t>;

inline void clear_all(TokenMask mask) { std::fill(mask.begin(), mask.end(), 0); }
inline void allow(TokenMask mask, text::TokenId token) {
  const auto at = static_cast<std::size_t>(token);
  if (at / 64 < mask.size()) mask[at / 64] |= std::uint64_t{1} << (at % 64);
}
inline void forbid(TokenMask mask, text::TokenId token) {
  const auto at = static_cast<std::size_t>(token);
  if (at / 64 < mask.size()) mask[at / 64] &= ~(std::uint64_t{1} << (at % 64));
}
inline void allow_only(TokenMask mask, text::TokenId token) {
  clear_all(mask);
  allow(mask, token);
}

}  // namespace maestrale::chat
