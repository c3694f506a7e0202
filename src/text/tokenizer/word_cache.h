// A small direct-mapped cache from short pieces to their ids, one per thread: no locks, no growth, entries of
// several tokenizers live side by side and evict each other.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace maestrale::text {

class WordCache {
 public:
  static constexpr std::size_t kBytesMax = 24;
  static constexpr std::size_t kTokensMax = 8;

  struct Key {
    std::array<std::uint64_t, 3> words{};
    std::uint32_t owner = 0;
    std::uint32_t slot = 0;
    std::uint8_t size = 0;
  };
  struct Entry {
    std::array<std::uint64_t, 3> words{};
    std::uint32_t owner = 0;  // 0: free
    std::uint8_t size = 0;
    std::uint8_t count = 0;
    std::array<TokenId, kTokensMax> tokens{};
  };

  static WordCache& of_this_thread();
  static std::uint32_t new_owner();  // a number that no other tokenizer of this process has

  // `piece` has at most kBytesMax bytes.
  static Key key(std::uint32_t owner, std::string_view piece) {
    Key key;
    std::memcpy(key.words.data(), piece.data(), piece.size());
    key.owner = owner;
    key.size = static_cast<std::uint8_t>(piece.size());
    const std::uint64_t mixed =
        (key.words[0] ^ (key.words[1] * 0x9e3779b97f4a7c15u) ^ owner) * 0xbf58476d1ce4e5b9u +
        key.words[2] * 0x94d049bb133111ebu;
    key.slot = static_cast<std::uint32_t>((mixed ^ (mixed >> 29)) * 0x9e3779b97f4a7c15u >> (64 - kSlotBits));
    return key;
  }
  const Entry* find(const Key& key) const {
    const Entry& entry = entries_[key.slot];
    const bool same = entry.owner == key.owner && entry.size == key.size && entry.words == key.words;
    return same ? &entry : nullptr;
  }
  void put(const Key& key, std::span<const TokenId> tokens);

 private:
  static constexpr int kSlotBits = 15;
  std::vector<Entry> entries_ = std::vector<Entry>(std::size_t{1} << kSlotBits);
};

}  // namespace maestrale::text
