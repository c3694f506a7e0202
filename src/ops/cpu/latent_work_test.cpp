#include "ops/cpu/latent_work.h"

#include <gtest/gtest.h>

#include <numeric>

namespace maestrale::ops {
namespace {

LatentWork plan(std::vector<std::int32_t> positions, std::vector<std::int32_t> sequences, int heads,
                int threads, bool lists = false) {
  LatentWork work;
  work.plan({positions, sequences}, heads, lists, threads);
  return work;
}

TEST(LatentWork, PromptsAreCutIntoWideRuns) {
  std::vector<std::int32_t> positions(100), sequences(100, 0);
  std::iota(positions.begin(), positions.end(), 600);
  const LatentWork work = plan(positions, sequences, 16, 2);
  ASSERT_EQ(work.runs().size(), 50);
  EXPECT_TRUE(work.pieces().empty());
  EXPECT_EQ(work.runs()[1].first, 32);
  EXPECT_EQ(work.runs()[1].count, 32);
  EXPECT_EQ(work.runs()[49].pages, 699 / 64 + 1);
}

TEST(LatentWork, ATokensKeysAreSharedOut) {
  const LatentWork work = plan({4100}, {0}, 16, 2);
  ASSERT_EQ(work.runs().size(), 1);
  EXPECT_EQ(work.runs()[0].count, 16);
  EXPECT_EQ(work.runs()[0].parts, 9);  // eight of 512 keys and the rest
  ASSERT_EQ(work.pieces().size(), 5);
  EXPECT_EQ(work.pieces()[4].first, 8);
  EXPECT_EQ(work.pieces()[4].end, 9);
  EXPECT_EQ(work.pairs(), 9 * 16);
}

TEST(LatentWork, WhereKeysAreFewHeadsAreSharedOut) {
  const LatentWork work = plan({100}, {0}, 16, 2);
  ASSERT_EQ(work.runs().size(), 2);
  EXPECT_EQ(work.runs()[1].first, 8);
  EXPECT_TRUE(work.pieces().empty());
}

TEST(LatentWork, OneThreadAndListsOfKeysAreNotShared) {
  EXPECT_TRUE(plan({5000}, {0}, 16, 1).pieces().empty());
  const LatentWork lists = plan({5000, 5001}, {0, 0}, 16, 2, true);
  EXPECT_TRUE(lists.pieces().empty());
  EXPECT_EQ(lists.runs()[1].first, 16);  // rows stay apart
}

// A context of a million tokens has few parts.
TEST(LatentWork, LongContextsHaveLongParts) {
  const LatentWork work = plan({1'000'000}, {0}, 16, 4);
  EXPECT_LT(work.runs()[0].parts, 64);
  EXPECT_LT(work.pieces().size(), 24);
}

TEST(LatentWork, EveryPairIsDoneOnce) {
  for (const int threads : {2, 3, 16}) {
    const LatentWork work = plan({10, 700, 701, 2000}, {0, 1, 1, 2}, 5, threads);
    std::int64_t next = 0;
    for (const LatentRun& run : work.runs()) {
      EXPECT_EQ(run.first, next);
      next += run.count;
    }
    EXPECT_EQ(next, 20);
    if (work.pieces().empty()) continue;
    auto piece = work.pieces().begin();
    for (std::int64_t run = 0; run < std::ssize(work.runs()); ++run) {
      int part = 0;
      for (; piece != work.pieces().end() && piece->run == run; part = piece->end, ++piece)
        EXPECT_EQ(piece->first, part);
      EXPECT_EQ(part, work.runs()[static_cast<std::size_t>(run)].parts);
    }
    EXPECT_EQ(piece, work.pieces().end());
  }
}

}  // namespace
}  // namespace maestrale::ops
