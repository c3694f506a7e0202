// PageTransfers: pages on their way between the prefix cache and the store on disk. A load owns the pages of
// the pool that it fills, through a sequence of its own, so that whoever asked for them may leave.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/prefix_store.h"

namespace maestrale::engine {

class PageTransfers {
 public:
  PageTransfers(ops::KvCache& kv, PrefixCache& cache, PrefixStore& store)
      : kv_(kv), cache_(cache), store_(store) {}
  ~PageTransfers();
  PageTransfers(const PageTransfers&) = delete;
  PageTransfers& operator=(const PageTransfers&) = delete;

  // Begins to read what the store has behind the first `kept` pages, which the cache has. False where that is
  // nothing, where the pool has no room, or where the disk does not answer.
  bool begin(const std::string& salt, std::span<const PrefixKey> keys, std::span<const text::TokenId> tokens,
             std::int64_t kept);
  // Gives the cache what has been read.
  void take();
  // The page is being read, and the disk answers.
  bool reads(const PrefixKey& key) const { return keys_.contains(key); }
  // Some page is.
  bool pending() const { return !keys_.empty(); }
  // So is some page, whether the disk answers or not.
  bool reading() const { return !loads_.empty(); }
  // Waits a moment for one of them.
  void await();
  std::uint64_t tokens_read() const { return tokens_read_; }

  // Offers pages [from, to) of a sequence, which are computed, to the store. How far it had room.
  std::int64_t save(const std::string& salt, std::span<const PrefixKey> keys,
                    std::span<const text::TokenId> tokens, std::int64_t from, std::int64_t to, int sequence);
  // A sequence ends, of whose `kept` whole pages the first `saved` were taken.
  void leave(std::span<const PrefixKey> keys, std::int64_t saved, std::int64_t kept);
  PrefixStoreStats stats() const { return store_.stats(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Load {
    int sequence;
    std::int64_t kept;  // pages that were there before
    std::string salt;
    std::vector<PrefixKey> keys;
    std::vector<text::TokenId> tokens;
    std::shared_ptr<PageReading> reading;
    std::int64_t done = 0;  // as last seen
    Clock::time_point moved = Clock::now();
    bool stuck = false;
  };
  bool make_room(std::int64_t pages);
  std::vector<PageReading::Page> wanted(const Load& load) const;
  void finish(const Load& load);
  void forget_keys(const Load& load);

  ops::KvCache& kv_;
  PrefixCache& cache_;
  PrefixStore& store_;
  std::vector<Load> loads_;
  std::unordered_set<PrefixKey, DigestHash> keys_;  // of loads that are not stuck
  std::uint64_t tokens_read_ = 0;
};

}  // namespace maestrale::engine
