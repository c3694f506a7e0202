// PrefixCache: whole KV pages by the tokens that they and all pages before them were computed from, so that
// requests that begin alike compute the beginning once. A page belongs to one tenant and is never found by
// another. Keys are chained hashes; whatever a key finds is compared with the tokens themselves.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/digest.h"
#include "ops/kv_cache.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::engine {

// Keys of the whole pages that `tokens` fill; each follows from the one before and the page's tokens.
using PrefixKey = Digest;
PrefixKey prefix_root(std::string_view tenant);
PrefixKey prefix_key(const PrefixKey& before, std::span<const text::TokenId> page);
// Appends the keys that are missing in `keys`.
void extend_keys(const PrefixKey& root, std::span<const text::TokenId> tokens, std::vector<PrefixKey>& keys);

class PrefixCache {
 public:
  // `key_mask` makes keys collide, for tests.
  explicit PrefixCache(ops::KvCache& kv, std::uint64_t key_mask = ~std::uint64_t{0})
      : kv_(kv), mask_(key_mask) {}
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // How many of the first pages are there, at most keys.size(). Begins to look at `from`, which was an answer
  // for the same tokens before; only from 0 is everything compared.
  std::int64_t find(std::string_view tenant, std::span<const PrefixKey> keys,
                    std::span<const text::TokenId> tokens, std::int64_t from = 0) const;
  // Of the first `count` pages, all of which are there, those that no sequence uses.
  std::int64_t idle(std::span<const PrefixKey> keys, std::int64_t count) const;
  // Shares the first `count` pages, all of which are there, with an empty sequence.
  void share(std::span<const PrefixKey> keys, std::int64_t count, int sequence);
  // Page `index` of the sequence is computed and the pages before it are there or have been inserted. Where
  // the same page is there already the sequence uses that one from now on.
  void insert(std::string_view tenant, std::span<const PrefixKey> keys, std::span<const text::TokenId> tokens,
              std::int64_t index, int sequence);
  // Gives the page back that no sequence has used for the longest time; false where there is none.
  bool evict();
  std::int64_t pages() const { return static_cast<std::int64_t>(entries_.size()); }

 private:
  struct Entry {
    ops::KvCache::Page page = 0;
    bool first = false;
    PrefixKey before;  // key of the page before; of the first page, the root
    std::vector<text::TokenId> tokens;
    std::string tenant;         // kept with the first page
    std::int64_t children = 0;  // pages that follow this one
    std::list<PrefixKey>::iterator order;
  };
  // Keys chain over the whole history, so they are masked only here.
  PrefixKey at(const PrefixKey& key) const { return {key.low & mask_, key.high & mask_}; }
  bool is(const Entry& entry, std::string_view tenant, std::span<const PrefixKey> keys,
          std::span<const text::TokenId> tokens, std::int64_t index) const;
  void touch(std::span<const PrefixKey> keys, std::int64_t count);

  ops::KvCache& kv_;
  std::uint64_t mask_;
  std::unordered_map<PrefixKey, Entry, DigestHash> entries_;
  std::list<PrefixKey> order_;  // the most recently used first, a page before those that follow it
};

}  // namespace maestrale::engine
