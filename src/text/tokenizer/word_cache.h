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
  static constexpr std::size_t kBytesMax = 16;
  static constexpr std::size_t kTokensMax = 4;

  // A piece of up to kBytesMax bytes as two words that overlap where it is shorter; with its size they say
  // all of it.
  struct Key {
    std::uint64_t low = 0, high = 0;
    std::uint32_t tag = 0;  // owner and size
    std::uint32_t slot = 0;
  };
  // Two to a cache line.
  struct alignas(32) Entry {
    std::uint64_t low = 0, high = 0;
    std::uint32_t tag = 0;                             // the key's, plus the number of tokens; 0: free
    std::array<std::uint8_t, 3 * kTokensMax> bytes{};  // the tokens, three bytes each

    std::size_t count() const { return tag & kCountMask; }
    TokenId token(std::size_t i) const {
      return bytes[3 * i] | (bytes[3 * i + 1] << 8) | (bytes[3 * i + 2] << 16);
    }
  };

  static WordCache& of_this_thread();
  static std::uint32_t new_owner();  // a number that few other tokenizers of this process have, never 0

  // `piece` has 1 to kBytesMax bytes.
  static Key key(std::uint32_t owner, std::string_view piece) {
    Key key;
    const char* bytes = piece.data();
    const std::size_t size = piece.size();
    if (size >= 8) {
      std::memcpy(&key.low, bytes, 8);
      std::memcpy(&key.high, bytes + size - 8, 8);
    } else if (size >= 4) {
      std::memcpy(&key.low, bytes, 4);
      std::memcpy(&key.high, bytes + size - 4, 4);
    } else {
      const auto byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(bytes[i])}; };
      key.low = byte(0) | byte(size / 2) << 8 | byte(size - 1) << 16;
    }
    key.tag = owner << kOwnerShift | static_cast<std::uint32_t>(size) << kSizeShift;
    const std::uint64_t mixed = (key.low ^ key.tag) * 0x9e3779b97f4a7c15u + key.high * 0xbf58476d1ce4e5b9u;
    key.slot = static_cast<std::uint32_t>((mixed ^ mixed >> 32) * 0x94d049bb133111ebu >> (64 - kSlotBits));
    return key;
  }
  const Entry* find(const Key& key) const {
    const Entry& entry = entries_[key.slot];
    const bool same =
        ((entry.tag ^ key.tag) & ~kCountMask) == 0 && entry.low == key.low && entry.high == key.high;
    return same ? &entry : nullptr;
  }
  void put(const Key& key, std::span<const TokenId> tokens);

 private:
  static constexpr int kSlotBits = 16;
  static constexpr std::uint32_t kCountMask = 7;
  static constexpr int kSizeShift = 3, kOwnerShift = 8;  // tag: 24 bits owner, 5 bits size, 3 bits count

  std::vector<Entry> entries_ = std::vector<Entry>(std::size_t{1} << kSlotBits);
};

}  // namespace maestrale::text
