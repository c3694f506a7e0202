#include "text/tokenizer/vocabulary.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>

namespace maestrale::text {

TokenId Vocabulary::add(std::string_view bytes, TokenKind kind) {
  arena_.append(bytes);
  ends_.push_back(arena_.size());
  kinds_.push_back(kind);
  longest_ = std::max(longest_, bytes.size());
  return size() - 1;
}

PieceTable::PieceTable(const Vocabulary& vocabulary)
    : vocabulary_(&vocabulary),
      slots_(std::bit_ceil(static_cast<std::size_t>(vocabulary.size()) * 2 + 2)),
      mask_(slots_.size() - 1) {}

TokenId PieceTable::insert(TokenId token) {
  const std::string_view bytes = vocabulary_->bytes(token);
  const std::uint64_t hash = XXH3_64bits(bytes.data(), bytes.size());
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  std::size_t at = hash & mask_;
  while (slots_[at].token != kNoToken) {
    if (slots_[at].tag == tag && vocabulary_->bytes(slots_[at].token) == bytes) return slots_[at].token;
    at = (at + 1) & mask_;
  }
  slots_[at] = {tag, token};
  return kNoToken;
}

TokenId PieceTable::find(std::string_view bytes) const {
  const std::uint64_t hash = XXH3_64bits(bytes.data(), bytes.size());
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  for (std::size_t at = hash & mask_; slots_[at].token != kNoToken; at = (at + 1) & mask_) {
    if (slots_[at].tag == tag && vocabulary_->bytes(slots_[at].token) == bytes) return slots_[at].token;
  }
  return kNoToken;
}

}  // namespace maestrale::text
