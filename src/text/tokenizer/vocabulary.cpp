#include "text/tokenizer/vocabulary.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace maestrale::text {

namespace {

// Equality of short stretches without a call.
bool same_bytes(std::string_view a, std::string_view b) {
  const std::size_t size = a.size();
  if (size != b.size()) return false;
  if (size > 16) return std::memcmp(a.data(), b.data(), size) == 0;
  const auto same = [&]<class Word>(Word) {  // two words that overlap where the stretches are shorter
    Word words[4];
    std::memcpy(&words[0], a.data(), sizeof(Word));
    std::memcpy(&words[1], b.data(), sizeof(Word));
    std::memcpy(&words[2], a.data() + size - sizeof(Word), sizeof(Word));
    std::memcpy(&words[3], b.data() + size - sizeof(Word), sizeof(Word));
    return words[0] == words[1] && words[2] == words[3];
  };
  if (size >= 8) return same(std::uint64_t{});
  if (size >= 4) return same(std::uint32_t{});
  if (size >= 2) return same(std::uint16_t{});
  return size == 0 || a[0] == b[0];
}

}  // namespace

TokenId Vocabulary::add(std::string_view bytes, TokenKind kind) {
  arena_.append(bytes);
  CHECK(arena_.size() <= std::numeric_limits<std::uint32_t>::max(), "a vocabulary beyond 4 GiB");
  begins_.push_back(static_cast<std::uint32_t>(arena_.size()));
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
    if (slots_[at].tag == tag && same_bytes(vocabulary_->bytes(slots_[at].token), bytes))
      return slots_[at].token;
    at = (at + 1) & mask_;
  }
  slots_[at] = {tag, token};
  return kNoToken;
}

TokenId PieceTable::find(std::string_view bytes) const {
  const std::uint64_t hash = XXH3_64bits(bytes.data(), bytes.size());
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  for (std::size_t at = hash & mask_; slots_[at].token != kNoToken; at = (at + 1) & mask_) {
    if (slots_[at].tag == tag && same_bytes(vocabulary_->bytes(slots_[at].token), bytes))
      return slots_[at].token;
  }
  return kNoToken;
}

}  // namespace maestrale::text
