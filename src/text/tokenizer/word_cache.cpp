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
  return ++last;
}

void WordCache::put(const Key& key, std::span<const TokenId> tokens) {
  if (tokens.size() > kTokensMax) return;
  Entry& entry = entries_[key.slot];
  entry.words = key.words;
  entry.owner = key.owner;
  entry.size = key.size;
  entry.count = static_cast<std::uint8_t>(tokens.size());
  std::copy(tokens.begin(), tokens.end(), entry.tokens.begin());
}

}  // namespace maestrale::text
