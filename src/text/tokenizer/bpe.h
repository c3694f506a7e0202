// Byte-pair encoding in its three published forms: by the rank of the joined bytes (tiktoken), by a list of
// merges (GPT-2, Hugging Face, GGUF), and by piece scores (SentencePiece).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/merge.h"
#include "text/tokenizer/model.h"
#include "text/tokenizer/vocabulary.h"

namespace maestrale::text {

// (left, right) -> (rank, joined token), open addressing.
class PairTable {
 public:
  explicit PairTable(std::size_t pairs_max);
  void insert(TokenId left, TokenId right, Join join);  // the first of equal pairs stays
  Join find(TokenId left, TokenId right) const {
    const std::uint64_t key = pair_key(left, right);
    for (std::size_t at = hash(key);; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return slots_[at].join;
      if (slots_[at].key == kFree) return {};
    }
  }

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kFree;
    Join join;
  };
  static std::uint64_t pair_key(TokenId left, TokenId right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
           static_cast<std::uint32_t>(right);
  }
  std::size_t hash(std::uint64_t key) const { return ((key * 0x9e3779b97f4a7c15u) >> 24) & mask_; }

  std::vector<Slot> slots_;
  std::size_t mask_;
};

struct BpeSettings {
  enum class Rule { kRanks, kMerges, kScores };
  Rule rule = Rule::kRanks;
  bool characters = false;         // start from characters, not bytes
  bool whole_piece_first = false;  // a piece that is itself an entry is taken whole
  bool byte_fallback = false;      // characters without an entry become byte tokens
  bool fuse_unknown = false;       // runs of unknown characters become one unknown token
  TokenId unknown = kNoToken;
  std::array<TokenId, 256> byte_tokens = {};  // kNoToken where the vocabulary has none
  // kRanks, kScores: order of every token, smaller first (Join::kNever: never the result of a join).
  std::vector<std::uint32_t> priorities = {};
};

class BpeModel final : public Model {
 public:
  // `table` holds the entries that text may become; `pairs` only for kMerges.
  BpeModel(const Vocabulary& vocabulary, PieceTable table, BpeSettings settings,
           std::unique_ptr<const PairTable> pairs);
  void encode(std::string_view piece, std::vector<TokenId>& out) const override;

 private:
  void encode_uncached(std::string_view piece, std::vector<TokenId>& out) const;
  void start_symbols(std::string_view piece, std::vector<Symbol>& symbols) const;
  void emit(std::string_view piece, const Symbol& symbol, std::vector<TokenId>& out) const;
  void emit_unknown(std::string_view bytes, std::vector<TokenId>& out) const;
  void merge_by_scores(std::string_view piece, MergeBuffers& buffers, std::vector<TokenId>& out) const;

  const Vocabulary* vocabulary_;
  PieceTable table_;
  BpeSettings settings_;
  std::unique_ptr<const PairTable> pairs_;
  bool has_unused_ = false;
  std::vector<TokenId> replacement_;  // U+FFFD, for bytes that the vocabulary does not have
  std::uint32_t owner_;
};

}  // namespace maestrale::text
