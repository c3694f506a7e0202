#include "text/tokenizer/wordpiece.h"

#include <algorithm>

namespace maestrale::text {

WordPieceModel::WordPieceModel(const Vocabulary& vocabulary, const std::vector<TokenId>& tokens,
                               TokenId unknown, std::size_t characters_max)
    : unknown_(unknown), characters_max_(characters_max) {
  for (const TokenId token : tokens) {
    if (!vocabulary.bytes(token).empty()) trie_.insert(vocabulary.bytes(token), token);
  }
}

void WordPieceModel::encode(std::string_view piece, std::vector<TokenId>& out) const {
  const std::size_t before = out.size();
  const auto fail = [&] {
    out.resize(before);
    if (unknown_ != kNoToken) out.push_back(unknown_);
  };
  const auto starts_character = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  const auto characters = std::count_if(piece.begin(), piece.end(), starts_character);
  if (characters_max_ != 0 && static_cast<std::size_t>(characters) > characters_max_) return fail();
  std::uint32_t start = trie_.step(ByteTrie::kRoot, ' ');
  for (std::size_t pos = 0; pos < piece.size();) {
    TokenId found = kNoToken;
    std::size_t found_end = pos;
    std::uint32_t node = start;
    for (std::size_t end = pos; node != ByteTrie::kNone && end < piece.size();) {
      node = trie_.step(node, piece[end++]);
      if (node == ByteTrie::kNone || trie_.value(node) < 0) continue;
      found = trie_.value(node);
      found_end = end;
    }
    if (found == kNoToken) return fail();
    out.push_back(found);
    pos = found_end;
    start = ByteTrie::kRoot;
  }
}

}  // namespace maestrale::text
