#include "ops/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

namespace maestrale::ops {
namespace {

constexpr KvShape kShape{.layers = 2, .kv_heads = 3, .head_size = 40, .type = KvType::kF16};

KvCache make(std::int64_t pages) { return std::move(KvCache::create(kShape, pages)).value(); }

TEST(KvCache, SizesFollowFromTheShape) {
  EXPECT_EQ(KvShape::pages_for(0), 0);
  EXPECT_EQ(KvShape::pages_for(1), 1);
  EXPECT_EQ(KvShape::pages_for(kPageTokens), 1);
  EXPECT_EQ(KvShape::pages_for(kPageTokens + 1), 2);
  // Keys of 40 elements, values padded to 48, of 2 bytes each.
  EXPECT_EQ(kShape.page_bytes(), std::size_t{2 * 3 * kPageTokens * (40 + 48) * 2});
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8}) {
    EXPECT_EQ(kv_type_from_name(kv_type_name(type)), type);
  }
  EXPECT_FALSE(kv_type_from_name("q4").has_value());
}

TEST(KvCache, PagesBelongToOneSequence) {
  KvCache cache = make(6);
  const int a = cache.open_sequence(), b = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(a, 2 * kPageTokens).ok());
  ASSERT_TRUE(cache.reserve(b, 3 * kPageTokens).ok());
  std::set<const std::byte*> pages(cache.pages(a).begin(), cache.pages(a).end());
  pages.insert(cache.pages(b).begin(), cache.pages(b).end());
  EXPECT_EQ(pages.size(), 5u);
  EXPECT_EQ(cache.free_pages(), 1);
  ASSERT_TRUE(cache.reserve(a, 1).ok());  // it has them already
  EXPECT_EQ(cache.pages(a).size(), 2u);
}

TEST(KvCache, AFullPoolIsAnErrorThatTakesNothing) {
  KvCache cache = make(3);
  const int a = cache.open_sequence(), b = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(a, 2 * kPageTokens).ok());
  const Status full = cache.reserve(b, 2 * kPageTokens);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().kind, ErrorKind::kResource);
  EXPECT_EQ(cache.free_pages(), 1);
  EXPECT_TRUE(cache.pages(b).empty());
  EXPECT_TRUE(cache.reserve(b, kPageTokens).ok());
}

TEST(KvCache, TruncationGivesWholePagesBack) {
  KvCache cache = make(4);
  const int sequence = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(sequence, 4 * kPageTokens).ok());
  cache.truncate(sequence, kPageTokens + 1);
  EXPECT_EQ(cache.free_pages(), 2);
  cache.truncate(sequence, 3 * kPageTokens);  // more than it has: nothing to forget
  EXPECT_EQ(cache.pages(sequence).size(), 2u);
  cache.close_sequence(sequence);
  EXPECT_EQ(cache.free_pages(), 4);
  EXPECT_EQ(cache.open_sequence(), sequence);  // a closed one is used again
}

// Puts a mark that only this page has into every part of it.
void mark(KvCache& cache, int sequence, std::size_t page, int value) {
  for (int layer = 0; layer < kShape.layers; ++layer) {
    for (int head = 0; head < kShape.kv_heads; ++head) {
      std::byte* part = cache.pages(sequence)[page] + cache.plane_offset(layer, head);
      std::fill_n(part, kShape.head().bytes, static_cast<std::byte>(value + 3 * layer + head));
    }
  }
}

bool is_marked(const KvCache& cache, int sequence, std::size_t page, int value) {
  for (int layer = 0; layer < kShape.layers; ++layer) {
    for (int head = 0; head < kShape.kv_heads; ++head) {
      const std::byte* part = cache.pages(sequence)[page] + cache.plane_offset(layer, head);
      const auto wanted = static_cast<std::byte>(value + 3 * layer + head);
      if (std::any_of(part, part + kShape.head().bytes, [&](std::byte found) { return found != wanted; }))
        return false;
    }
  }
  return true;
}

TEST(KvCache, AForkSharesUntilItWrites) {
  KvCache cache = make(4);
  const int a = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(a, kPageTokens + 5).ok());
  mark(cache, a, 0, 10);
  mark(cache, a, 1, 60);
  const int b = cache.fork(a, kPageTokens + 5).value();
  EXPECT_EQ(cache.free_pages(), 2);
  EXPECT_EQ(cache.page(a, 1), cache.page(b, 1));
  EXPECT_EQ(cache.pages_to_write(b, kPageTokens + 5, kPageTokens + 6), 1);
  ASSERT_TRUE(cache.reserve_to_write(b, kPageTokens + 5, kPageTokens + 6).ok());
  EXPECT_NE(cache.page(a, 1), cache.page(b, 1));
  EXPECT_EQ(cache.page(a, 0), cache.page(b, 0));
  EXPECT_TRUE(is_marked(cache, b, 1, 60));
  mark(cache, b, 1, 100);
  EXPECT_TRUE(is_marked(cache, a, 1, 60));
  EXPECT_EQ(cache.pages_to_write(a, kPageTokens + 5, 2 * kPageTokens), 0);  // the last one needs no copy
  cache.close_sequence(a);
  EXPECT_EQ(cache.free_pages(), 2);
  EXPECT_TRUE(is_marked(cache, b, 0, 10));
  cache.close_sequence(b);
  EXPECT_EQ(cache.free_pages(), 4);
}

TEST(KvCache, HeldPagesOutliveTheirSequences) {
  KvCache cache = make(3);
  const int a = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(a, 2 * kPageTokens).ok());
  mark(cache, a, 0, 10);
  const KvCache::Page first = cache.page(a, 0);
  cache.hold(first);
  EXPECT_EQ(cache.idle_pages(), 0);
  cache.close_sequence(a);
  EXPECT_EQ(cache.idle_pages(), 1);
  EXPECT_EQ(cache.free_pages(), 2);
  const int b = cache.open_sequence();
  cache.share(b, first);
  EXPECT_EQ(cache.idle_pages(), 0);
  EXPECT_TRUE(is_marked(cache, b, 0, 10));
  ASSERT_TRUE(cache.reserve_to_write(b, 3, 4).ok());  // into a held page: the held one stays as it is
  EXPECT_NE(cache.page(b, 0), first);
  EXPECT_TRUE(is_marked(cache, b, 0, 10));
  EXPECT_EQ(cache.idle_pages(), 1);
  cache.replace(b, 0, first);
  EXPECT_EQ(cache.free_pages(), 2);
  cache.let_go(first);
  EXPECT_EQ(cache.users(first), 1);
  cache.close_sequence(b);
  EXPECT_EQ(cache.free_pages(), 3);
}

TEST(KvCache, WritingIntoAFullPoolTakesNothing) {
  KvCache cache = make(2);
  const int a = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(a, kPageTokens + 1).ok());
  const int b = cache.fork(a, kPageTokens + 1).value();
  const Status full = cache.reserve_to_write(b, kPageTokens + 1, kPageTokens + 2);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().kind, ErrorKind::kResource);
  EXPECT_EQ(cache.page(a, 1), cache.page(b, 1));
}

TEST(KvCache, StatesAreCopied) {
  const KvShape shape{.layers = 2, .state = {.conv = 3, .scan = 5}};
  KvCache cache = std::move(KvCache::create(shape, 4, 2)).value();
  const int a = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(a, 7).ok());
  std::fill_n(cache.state(a, 0), 16, 1.5f);
  cache.advance(a, 7);
  const int b = cache.fork(a, 7).value();
  EXPECT_EQ(cache.state_tokens(b), 7);
  EXPECT_EQ(cache.state(b, 1)[7], 1.5f);
  const auto none = cache.fork(a, 7);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::kResource);
}

// [value, value] at each of the positions.
void put_states(RecentStates& states, std::int64_t from, std::int64_t to, float value) {
  for (; from < to; ++from) states.put(from, std::vector<float>(2, value));
}

TEST(KvCache, RecentStatesOfASequenceGoWithIt) {
  KvCache cache = make(2);
  const int a = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(a, 60).ok());
  EXPECT_EQ(cache.recent(a).find(0), nullptr);
  put_states(cache.recent(a), 0, 50, 1.5f);
  EXPECT_EQ(cache.recent(a).find(50 - kRecentStates - 1), nullptr);
  EXPECT_EQ(cache.recent(a).find(50 - kRecentStates)[1], 1.5f);
  const int b = cache.fork(a, 45).value();
  EXPECT_EQ(cache.recent(b).find(45), nullptr);
  put_states(cache.recent(b), 45, 46, 2.5f);
  EXPECT_EQ(cache.recent(b).find(44)[0], 1.5f);
  EXPECT_EQ(cache.recent(b).find(45)[0], 2.5f);
  EXPECT_EQ(cache.recent(a).find(45)[0], 1.5f);
  EXPECT_EQ(cache.truncate(a, 40), 40);
  EXPECT_EQ(cache.recent(a).find(40), nullptr);
  EXPECT_NE(cache.recent(a).find(39), nullptr);
  cache.close_sequence(a);
  EXPECT_EQ(cache.recent(cache.open_sequence()).find(39), nullptr);
}

TEST(KvCache, RefusesWhatCannotBeCounted) {
  const auto cache = KvCache::create(kShape, std::numeric_limits<std::int64_t>::max());
  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.error().kind, ErrorKind::kResource);
}

}  // namespace
}  // namespace maestrale::ops
