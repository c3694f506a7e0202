#include "ops/kv_cache.h"

#include <gtest/gtest.h>

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

TEST(KvCache, RefusesWhatCannotBeCounted) {
  const auto cache = KvCache::create(kShape, std::numeric_limits<std::int64_t>::max());
  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.error().kind, ErrorKind::kResource);
}

}  // namespace
}  // namespace maestrale::ops
