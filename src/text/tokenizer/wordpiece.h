// WordPiece (BERT): the longest entry at the start of the word, then the longest at every continuation; a
// word that cannot be covered is one unknown token. Entries that start a word are stored with a leading
// blank.
#pragma once

#include <vector>

#include "text/tokenizer/byte_trie.h"
#include "text/tokenizer/model.h"
#include "text/tokenizer/vocabulary.h"

namespace maestrale::text {

class WordPieceModel final : public Model {
 public:
  // Words of more than `characters_max` characters are unknown (0: no limit).
  WordPieceModel(const Vocabulary& vocabulary, const std::vector<TokenId>& tokens, TokenId unknown,
                 std::size_t characters_max);
  void encode(std::string_view piece, std::vector<TokenId>& out) const override;

 private:
  ByteTrie trie_;
  TokenId unknown_;
  std::size_t characters_max_;
};

}  // namespace maestrale::text
