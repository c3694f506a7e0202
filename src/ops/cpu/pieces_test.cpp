#include "ops/cpu/pieces.h"

#include <gtest/gtest.h>

namespace maestrale::ops {
namespace {

TEST(Pieces, CoverTheRangeOnceAndShrink) {
  for (const std::int64_t total : {1, 2, 3, 7, 64, 160, 8001, 1000000}) {
    for (const int workers : {1, 2, 5, 64}) {
      for (const std::int64_t unit : {1, 2, 4}) {
        const Pieces pieces(total, workers, unit);
        ASSERT_GE(pieces.count(), 1);
        EXPECT_EQ(pieces.begin(0), 0);
        EXPECT_EQ(pieces.end(pieces.count() - 1), total);
        for (std::int64_t i = 0; i < pieces.count(); ++i) {
          EXPECT_LT(pieces.begin(i), pieces.end(i));
          if (i == 0) continue;
          EXPECT_EQ(pieces.begin(i), pieces.end(i - 1));
          EXPECT_EQ(pieces.begin(i) % unit, 0);
          EXPECT_LE(pieces.end(i) - pieces.begin(i), pieces.end(i - 1) - pieces.begin(i - 1));
        }
      }
    }
  }
}

TEST(Pieces, OneWorkerTakesAllAtOnce) { EXPECT_EQ(Pieces(1000, 1, 2).count(), 1); }

TEST(Pieces, TheFirstPieceLeavesWorkForTheOthers) {
  const Pieces pieces(1000, 2, 2);
  EXPECT_LE(pieces.end(0), 260);
  EXPECT_GE(pieces.end(0), 240);
}

}  // namespace
}  // namespace maestrale::ops
