#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <optional>

#include "engine/test_support.h"

namespace maestrale::engine {
namespace {

using ops::kPageTokens;
using Tokens = std::vector<text::TokenId>;

class PrefixCaches : public testing::Test {
 protected:
  void make(std::int64_t pages, std::uint64_t mask = ~std::uint64_t{0}) {
    cache_.reset();
    kv_.emplace(
        std::move(ops::KvCache::create({.layers = 1, .kv_heads = 1, .head_size = 16}, pages)).value());
    cache_.emplace(*kv_, mask);
  }
  static std::vector<PrefixKey> keys_of(const Tokens& tokens, const std::string& tenant = "a") {
    std::vector<PrefixKey> keys;
    extend_keys(prefix_root(tenant), tokens, keys);
    return keys;
  }
  std::int64_t find(const Tokens& tokens, const std::string& tenant = "a", std::int64_t from = 0) {
    return cache_->find(tenant, keys_of(tokens, tenant), tokens, from);
  }
  // A sequence that has computed all of it.
  int run(const Tokens& tokens, const std::string& tenant = "a") {
    const int sequence = kv_->open_sequence();
    const auto keys = keys_of(tokens, tenant);
    const std::int64_t found = cache_->find(tenant, keys, tokens);
    cache_->share(keys, found, sequence);
    while (!kv_->reserve(sequence, std::ssize(tokens)).ok()) EXPECT_TRUE(cache_->evict());
    for (std::int64_t index = found; index < std::ssize(keys); ++index)
      cache_->insert(tenant, keys, tokens, index, sequence);
    return sequence;
  }
  static Tokens pages_of(std::initializer_list<int> pages, std::int64_t rest = 0) {
    Tokens tokens;
    for (const int page : pages) tokens.insert(tokens.end(), kPageTokens, page);
    tokens.insert(tokens.end(), static_cast<std::size_t>(rest), 7);
    return tokens;
  }

  std::optional<ops::KvCache> kv_;
  std::optional<PrefixCache> cache_;
};

TEST_F(PrefixCaches, FindsWholePagesOfTheSameBeginning) {
  make(8);
  kv_->close_sequence(run(pages_of({1, 2, 3}, 5)));
  EXPECT_EQ(cache_->pages(), 3);
  EXPECT_EQ(kv_->idle_pages(), 3);
  EXPECT_EQ(find(pages_of({1, 2, 3})), 3);
  EXPECT_EQ(find(pages_of({1, 2, 4})), 2);
  EXPECT_EQ(find(pages_of({1}, 63)), 1);
  EXPECT_EQ(find(pages_of({2, 3})), 0);
  EXPECT_EQ(find(pages_of({1, 2, 3}), "a", 3), 3);
  EXPECT_EQ(find(pages_of({1, 2, 3}), "a", 1), 3);
}

TEST_F(PrefixCaches, TenantsDoNotSeeEachOther) {
  make(8);
  kv_->close_sequence(run(pages_of({1, 2})));
  EXPECT_EQ(find(pages_of({1, 2}), "b"), 0);
  EXPECT_EQ(find(pages_of({1, 2}), ""), 0);
  kv_->close_sequence(run(pages_of({1, 2}), "b"));
  EXPECT_EQ(cache_->pages(), 4);
}

TEST_F(PrefixCaches, SequencesShareWhatIsThere) {
  make(4);
  const int a = run(pages_of({1, 2}, 1)), b = run(pages_of({1, 2}, 1));
  EXPECT_EQ(kv_->page(a, 1), kv_->page(b, 1));
  EXPECT_NE(kv_->page(a, 2), kv_->page(b, 2));
  EXPECT_EQ(kv_->free_pages(), 0);
}

TEST_F(PrefixCaches, ThePageThatWasThereFirstStays) {
  make(4);
  const Tokens tokens = pages_of({1});
  const int a = kv_->open_sequence(), b = kv_->open_sequence();
  ASSERT_TRUE(kv_->reserve(a, kPageTokens).ok());
  ASSERT_TRUE(kv_->reserve(b, kPageTokens).ok());
  cache_->insert("a", keys_of(tokens), tokens, 0, a);
  cache_->insert("a", keys_of(tokens), tokens, 0, b);
  EXPECT_EQ(kv_->page(a, 0), kv_->page(b, 0));
  EXPECT_EQ(kv_->free_pages(), 3);
}

TEST_F(PrefixCaches, TheLeastRecentlyUsedGoesFirstAndBeginningsLast) {
  make(5);
  kv_->close_sequence(run(pages_of({1, 2})));
  kv_->close_sequence(run(pages_of({3})));
  kv_->close_sequence(run(pages_of({1, 4})));
  ASSERT_TRUE(cache_->evict());
  EXPECT_EQ(find(pages_of({1, 2})), 1);  // page 2: nobody asked again
  ASSERT_TRUE(cache_->evict());
  EXPECT_EQ(find(pages_of({3})), 0);
  const int user = run(pages_of({1}));
  ASSERT_TRUE(cache_->evict());
  EXPECT_EQ(find(pages_of({1, 4})), 1);
  EXPECT_FALSE(cache_->evict());  // in use
  kv_->close_sequence(user);
  EXPECT_TRUE(cache_->evict());
  EXPECT_FALSE(cache_->evict());
  EXPECT_EQ(kv_->free_pages(), 5);
}

TEST_F(PrefixCaches, CollidingKeysNeverGiveTheWrongPage) {
  make(64, 1);  // four keys
  for (int round = 0; round < 200; ++round) {
    const Tokens tokens = pages_of({round % 5, round % 7, round % 3});
    const std::int64_t found = find(tokens);
    const int sequence = run(tokens);
    // The first token of each page is written to it where the page is new.
    for (std::int64_t index = 0; index < 3; ++index) {
      std::byte& mark = *kv_->pages(sequence)[static_cast<std::size_t>(index)];
      const auto wanted = static_cast<std::byte>(tokens[static_cast<std::size_t>(index * kPageTokens)]);
      if (index < found) {
        EXPECT_EQ(mark, wanted);
      }
      mark = wanted;
    }
    kv_->close_sequence(sequence);
    if (round % 4 == 0) cache_->evict();
    EXPECT_LE(cache_->pages(), 4);
    EXPECT_EQ(kv_->free_pages() + kv_->idle_pages(), 64);
  }
}

TEST_F(PrefixCaches, LettingGoFreesEverything) {
  make(8);
  const int user = run(pages_of({1, 2}));
  kv_->close_sequence(run(pages_of({3})));
  cache_.reset();
  EXPECT_EQ(kv_->free_pages(), 6);
  kv_->close_sequence(user);
  EXPECT_EQ(kv_->free_pages(), 8);
}

}  // namespace
}  // namespace maestrale::engine
