#include "text/tokenizer/word_cache.h"

#include <algorithm>
#include <atomic>

namespace maestrale::text {

WordCache& WordCache::of_this_thread() {
  thread_local WordCache cache;
  return cache;
}

std::uint32_t WordCache::new_owner() {
  static std::atomic<std::uint32_t> last{0};
  constexpr std::uint32_t kOwners = (std::uint32_t{1} << (32 - kOwnerShift)) - 1;
  return last++ % kOwners + 1;
}

void WordCache::put(const Key& key, std::span<const TokenId> tokens) {
  if (tokens.empty() || tokens.size() > kTokensMax) return;
  constexpr TokenId kTokenEnd = 1 << 24;
  if (std::any_of(tokens.begin(), tokens.end(), [](TokenId token) { return token >= kTokenEnd; })) return;
  Entry& entry = entries_[key.slot];
  entry.low = key.low;
  entry.high = key.high;
  entry.tag = key.tag | static_cast<std::uint32_t>(tokens.size());
  for (std::size_t i = 0; i < 3 * tokens.size(); ++i)
    entry.bytes[i] = static_cast<std::uint8_t>(tokens[i / 3] >> (8 * (i % 3)));
}

}  // namespace maestrale::text
