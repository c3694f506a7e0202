// Unigram language model (SentencePiece): the segmentation with the highest sum of log-probabilities
// (Viterbi).
#pragma once

#include <array>
#include <vector>

#include "text/tokenizer/byte_trie.h"
#include "text/tokenizer/model.h"
#include "text/tokenizer/vocabulary.h"

namespace maestrale::text {

struct UnigramSettings {
  std::vector<float> scores;  // one per token, finite
  TokenId unknown = kNoToken;
  bool byte_fallback = false;
  std::array<TokenId, 256> byte_tokens = {};  // kNoToken where there is none
};

class UnigramModel final : public Model {
 public:
  // `tokens`: the entries that text may become.
  UnigramModel(const Vocabulary& vocabulary, const std::vector<TokenId>& tokens, UnigramSettings settings);
  void encode(std::string_view piece, std::vector<TokenId>& out) const override;

 private:
  void emit_unknown(std::string_view bytes, std::vector<TokenId>& out) const;

  ByteTrie trie_;
  UnigramSettings settings_;
  double unknown_score_ = 0;
};

}  // namespace maestrale::text
