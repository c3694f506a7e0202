// The pieces of a vocabulary by id, and a hash table from bytes to id over them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace maestrale::text {

inline constexpr TokenId kNoToken = -1;

class Vocabulary {
 public:
  TokenId add(std::string_view bytes, TokenKind kind);
  void set_kind(TokenId token, TokenKind kind) { kinds_[static_cast<std::size_t>(token)] = kind; }

  std::int32_t size() const { return static_cast<std::int32_t>(kinds_.size()); }
  bool holds(TokenId token) const { return token >= 0 && token < size(); }
  // Unknown ids have no bytes and are kUnused: models may be padded beyond the vocabulary.
  std::string_view bytes(TokenId token) const {
    if (!holds(token)) return {};
    const auto i = static_cast<std::size_t>(token);
    return {arena_.data() + begins_[i], begins_[i + 1] - begins_[i]};
  }
  TokenKind kind(TokenId token) const {
    return holds(token) ? kinds_[static_cast<std::size_t>(token)] : TokenKind::kUnused;
  }
  std::size_t longest() const { return longest_; }

 private:
  std::string arena_;
  std::vector<std::uint32_t> begins_ = {0};  // and the last one's end
  std::vector<TokenKind> kinds_;
  std::size_t longest_ = 0;
};

// Open addressing over a Vocabulary that outlives it.
class PieceTable {
 public:
  explicit PieceTable(const Vocabulary& vocabulary);

  // kNoToken if the token's bytes are new, else the token that already has them (which stays).
  TokenId insert(TokenId token);
  TokenId find(std::string_view bytes) const;

 private:
  struct Slot {
    std::uint32_t tag = 0;
    TokenId token = kNoToken;
  };
  const Vocabulary* vocabulary_;
  std::vector<Slot> slots_;
  std::size_t mask_;
};

}  // namespace maestrale::text
