#include "ops/cpu/pieces.h"

#include <gtest/gtest.h>

#include <vector>

namespace maestrale::ops {
namespace {

TEST(PanelPieces, CoverEveryPanelOnce) {
  for (const std::int64_t workers : {1, 2, 3, 5, 64}) {
    for (const std::int64_t panels : {1, 2, 3, 7, 16, 64, 161, 8001}) {
      for (const std::int64_t streams : {1, 2, 4}) {
        const PanelMatrix matrices[] = {{panels, streams}, {9, 1}, {panels + 5, 4}};
        const PanelPieces pieces(matrices, workers);
        EXPECT_EQ(pieces.count() % workers, 0);
        std::vector<int> hits[3];
        for (std::size_t i = 0; i < 3; ++i) hits[i].resize(static_cast<std::size_t>(matrices[i].panels));
        for (std::int64_t index = 0; index < pieces.count(); ++index) {
          const PanelPiece piece = pieces.at(index);
          for (std::int64_t stream = 0; stream < piece.range.streams; ++stream) {
            for (std::int64_t i = 0; i < piece.range.count; ++i) {
              ++hits[piece.matrix].at(static_cast<std::size_t>(piece.first + stream * piece.range.apart + i));
            }
          }
        }
        for (const auto& matrix : hits) {
          for (const int hit : matrix) ASSERT_EQ(hit, 1) << panels << " panels, " << workers << " workers";
        }
      }
    }
  }
}

// A worker's pieces go on where the one before ended, in every stream.
TEST(PanelPieces, StreamsGoOnFromPieceToPiece) {
  const PanelMatrix matrix{128, 4};
  const PanelPieces pieces({&matrix, 1}, 2);
  ASSERT_EQ(pieces.count(), 16);
  for (std::int64_t index = 0; index < pieces.count(); ++index) {
    const PanelPiece piece = pieces.at(index);
    EXPECT_EQ(piece.range.count, 2);
    EXPECT_EQ(piece.range.streams, 4);
    EXPECT_EQ(piece.range.apart, 16);
    EXPECT_EQ(piece.first, index / 8 * 64 + index % 8 * 2);
  }
}

}  // namespace
}  // namespace maestrale::ops
