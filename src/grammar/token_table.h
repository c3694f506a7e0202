// A vocabulary arranged for masks: its byte trie in depth-first order, and the tokens that consist of nothing
// but plain string characters apart, for most of a vocabulary is such and most answers are strings.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/grammar.h"

namespace maestrale::grammar {

struct TrieNode {
  std::uint32_t skip = 0;   // the next node that is not below this one
  std::uint32_t first = 0;  // its tokens in TokenTrie::tokens
  std::uint16_t count = 0;  // how many end here (vocabularies do have doubles)
  std::uint16_t depth = 0;  // bytes, from 1
  std::uint8_t byte = 0;
};

struct TokenTrie {
  std::vector<TrieNode> nodes;
  std::vector<text::TokenId> tokens;
};

// If `length` plain characters may follow, `plain` is allowed as it stands and only `rest` is left to look
// at.
struct Slice {
  int length = 0;
  std::vector<std::uint64_t> plain;  // tokens of at most `length` plain characters
  TokenTrie rest;
};

class TokenTable {
 public:
  TokenTable(const text::Tokenizer& tokenizer, std::span<const std::string_view> spelled);

  std::int32_t size() const { return size_; }
  std::size_t words() const { return (static_cast<std::size_t>(size_) + 63) / 64; }
  // Empty for what never stands in a text: control tokens, unknown, unused.
  std::string_view bytes(text::TokenId token) const;
  bool ends(text::TokenId token) const;
  std::span<const text::TokenId> end_tokens() const { return end_tokens_; }
  const Slice& slice(int plain) const;  // the best for so many plain characters

 private:
  std::int32_t size_ = 0;
  std::string arena_;
  std::vector<std::uint32_t> begins_;
  std::vector<text::TokenId> end_tokens_;
  std::array<Slice, 6> slices_;
};

}  // namespace maestrale::grammar
