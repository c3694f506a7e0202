#include "engine/prefix_cache.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

namespace maestrale::engine {
namespace {

constexpr auto kPage = static_cast<std::size_t>(ops::kPageTokens);

std::span<const text::TokenId> page_of(std::span<const text::TokenId> tokens, std::int64_t index) {
  return tokens.subspan(static_cast<std::size_t>(index) * kPage, kPage);
}

}  // namespace

PrefixKey prefix_root(std::string_view tenant) { return digest_of(tenant); }

PrefixKey prefix_key(const PrefixKey& before, std::span<const text::TokenId> page) {
  std::array<std::byte, sizeof(PrefixKey) + kPage * sizeof(text::TokenId)> text;
  std::memcpy(text.data(), &before, sizeof(PrefixKey));
  std::memcpy(text.data() + sizeof(PrefixKey), page.data(), page.size_bytes());
  return digest_of(std::span(text).first(sizeof(PrefixKey) + page.size_bytes()));
}

void extend_keys(const PrefixKey& root, std::span<const text::TokenId> tokens, std::vector<PrefixKey>& keys) {
  while ((keys.size() + 1) * kPage <= tokens.size()) {
    const PrefixKey before = keys.empty() ? root : keys.back();
    keys.push_back(prefix_key(before, tokens.subspan(keys.size() * kPage, kPage)));
  }
}

PrefixCache::~PrefixCache() {
  for (const auto& [key, entry] : entries_) kv_.let_go(entry.page);
}

// The page before it has been compared already.
bool PrefixCache::is(const Entry& entry, std::string_view tenant, std::span<const PrefixKey> keys,
                     std::span<const text::TokenId> tokens, std::int64_t index) const {
  const auto page = page_of(tokens, index);
  const bool first = index == 0;
  const PrefixKey before = first ? prefix_root(tenant) : keys[static_cast<std::size_t>(index) - 1];
  return entry.before == before && (!first || entry.tenant == tenant) &&
         std::equal(page.begin(), page.end(), entry.tokens.begin(), entry.tokens.end());
}

std::int64_t PrefixCache::find(std::string_view tenant, std::span<const PrefixKey> keys,
                               std::span<const text::TokenId> tokens, std::int64_t from) const {
  const auto entry_of = [&](std::int64_t index) {
    return entries_.find(at(keys[static_cast<std::size_t>(index)]));
  };
  const auto there = [&](std::int64_t index) {
    const auto found = entry_of(index);
    return found != entries_.end() && is(found->second, tenant, keys, tokens, index);
  };
  std::int64_t count = std::min<std::int64_t>(from, std::ssize(keys));
  while (count > 0 && !there(count - 1)) --count;
  while (count < std::ssize(keys) && there(count)) ++count;
  return count;
}

std::int64_t PrefixCache::idle(std::span<const PrefixKey> keys, std::int64_t count) const {
  return std::count_if(keys.begin(), keys.begin() + count,
                       [&](const PrefixKey& key) { return kv_.users(entries_.at(at(key)).page) == 0; });
}

void PrefixCache::touch(std::span<const PrefixKey> keys, std::int64_t count) {
  for (std::int64_t index = count; index-- > 0;) {
    order_.splice(order_.begin(), order_, entries_.at(at(keys[static_cast<std::size_t>(index)])).order);
  }
}

void PrefixCache::share(std::span<const PrefixKey> keys, std::int64_t count, int sequence) {
  for (const PrefixKey& key : keys.first(static_cast<std::size_t>(count)))
    kv_.share(sequence, entries_.at(at(key)).page);
  touch(keys, count);
}

void PrefixCache::insert(std::string_view tenant, std::span<const PrefixKey> keys,
                         std::span<const text::TokenId> tokens, std::int64_t index, int sequence) {
  if (find(tenant, keys.first(static_cast<std::size_t>(index)), tokens) != index) return;
  const PrefixKey key = keys[static_cast<std::size_t>(index)];
  const auto [found, is_new] = entries_.try_emplace(at(key));
  Entry& entry = found->second;
  if (!is_new) {
    // Another page with the same key keeps its place: this one is just not kept.
    if (!is(entry, tenant, keys, tokens, index)) return;
    if (kv_.page(sequence, index) != entry.page) kv_.replace(sequence, index, entry.page);
    touch(keys, index + 1);
    return;
  }
  const auto page = page_of(tokens, index);
  entry.page = kv_.page(sequence, index);
  entry.tokens.assign(page.begin(), page.end());
  entry.before = index == 0 ? prefix_root(tenant) : keys[static_cast<std::size_t>(index) - 1];
  entry.first = index == 0;
  if (entry.first) {
    entry.tenant = tenant;
  } else {
    ++entries_.at(at(entry.before)).children;
  }
  entry.order = order_.insert(order_.begin(), at(key));
  kv_.hold(entry.page);
  touch(keys, index);
}

bool PrefixCache::evict() {
  for (auto key = order_.rbegin(); key != order_.rend(); ++key) {
    const auto found = entries_.find(*key);
    const Entry& entry = found->second;
    if (entry.children > 0 || kv_.users(entry.page) > 0) continue;
    if (!entry.first) --entries_.at(at(entry.before)).children;
    kv_.let_go(entry.page);
    order_.erase(entry.order);
    entries_.erase(found);
    return true;
  }
  return false;
}

}  // namespace maestrale::engine
