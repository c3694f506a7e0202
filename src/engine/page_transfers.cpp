#include "engine/page_transfers.h"

#include <algorithm>
#include <utility>

namespace maestrale::engine {
namespace {

constexpr auto kMostSilence = std::chrono::seconds(3);  // of a disk, before others stop waiting for it
constexpr auto kMoment = std::chrono::milliseconds(5);
constexpr auto kPage = static_cast<std::size_t>(ops::kPageTokens);

}  // namespace

// The store outlives the loads, but not the pool: its reader may still fill the pages.
PageTransfers::~PageTransfers() {
  for (const Load& load : loads_) kv_.close_sequence(load.sequence);
}

bool PageTransfers::begin(const std::string& salt, std::span<const PrefixKey> keys,
                          std::span<const text::TokenId> tokens, std::int64_t kept) {
  const bool silent = std::any_of(loads_.begin(), loads_.end(), [](const Load& load) { return load.stuck; });
  const std::int64_t end = silent ? kept : store_.find(keys, kept);
  if (end <= kept) return false;
  const auto count = static_cast<std::size_t>(end);
  Load load{.sequence = kv_.open_sequence(),
            .kept = kept,
            .salt = salt,
            .keys = {keys.begin(), keys.begin() + end},
            .tokens = {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count * kPage)},
            .reading = nullptr};
  cache_.share(keys, kept, load.sequence);
  if (!make_room(end - kept) || !kv_.reserve(load.sequence, end * ops::kPageTokens).ok()) {
    kv_.close_sequence(load.sequence);
    return false;
  }
  load.reading = store_.read(wanted(load));
  keys_.insert(load.keys.begin() + kept, load.keys.end());
  loads_.push_back(std::move(load));
  return true;
}

bool PageTransfers::make_room(std::int64_t pages) {
  while (kv_.free_pages() < pages) {
    if (!cache_.evict()) return false;
  }
  return true;
}

std::vector<PageReading::Page> PageTransfers::wanted(const Load& load) const {
  std::vector<PageReading::Page> pages;
  for (std::int64_t index = load.kept; index < std::ssize(load.keys); ++index) {
    pages.push_back({.origin = origin_of(load.salt, load.keys, load.tokens, index),
                     .to = kv_.parts(kv_.page(load.sequence, index))});
  }
  return pages;
}

void PageTransfers::take() {
  std::erase_if(loads_, [this](Load& load) {
    const bool over = load.reading->over;
    const std::int64_t done = load.reading->done;
    if (over) {
      finish(load);
    } else if (std::exchange(load.done, done) != done) {
      load.moved = Clock::now();
    } else if (!load.stuck && Clock::now() - load.moved > kMostSilence) {
      load.stuck = true;
      forget_keys(load);
    }
    return over;
  });
}

void PageTransfers::finish(const Load& load) {
  const std::int64_t end = load.kept + load.reading->done;
  for (std::int64_t index = load.kept; index < end; ++index)
    cache_.insert(load.salt, load.keys, load.tokens, index, load.sequence);
  tokens_read_ += static_cast<std::uint64_t>((end - load.kept) * ops::kPageTokens);
  kv_.close_sequence(load.sequence);
  if (!load.stuck) forget_keys(load);
}

void PageTransfers::forget_keys(const Load& load) {
  for (auto index = static_cast<std::size_t>(load.kept); index < load.keys.size(); ++index)
    keys_.erase(load.keys[index]);
}

std::int64_t PageTransfers::save(const std::string& salt, std::span<const PrefixKey> keys,
                                 std::span<const text::TokenId> tokens, std::int64_t from, std::int64_t to,
                                 int sequence) {
  for (; from < to; ++from) {
    if (store_.has(keys[static_cast<std::size_t>(from)])) continue;
    if (!store_.offer(origin_of(salt, keys, tokens, from), kv_.parts(kv_.page(sequence, from)))) break;
  }
  return from;
}

void PageTransfers::leave(std::span<const PrefixKey> keys, std::int64_t saved, std::int64_t kept) {
  store_.touch({keys.begin(), keys.begin() + saved});
  store_.skip(kept - saved);
}

void PageTransfers::await() {
  if (!loads_.empty()) store_.await(*loads_.front().reading, kMoment);
}

}  // namespace maestrale::engine
