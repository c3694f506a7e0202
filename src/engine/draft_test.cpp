#include "engine/draft.h"

#include <gtest/gtest.h>

namespace maestrale::engine {
namespace {

using Tokens = std::vector<text::TokenId>;

TEST(LookUpDraft, FindsWhatFollowedTheLongestAndLatestPlace) {
  EXPECT_EQ(look_up_draft(Tokens{1, 2, 3, 4, 9, 1, 2}, 3), (Tokens{3, 4, 9}));
  EXPECT_EQ(look_up_draft(Tokens{1, 2, 3, 1, 2, 5, 1, 2}, 2), (Tokens{5, 1}));           // the latest
  EXPECT_EQ(look_up_draft(Tokens{7, 1, 2, 3, 8, 1, 2, 5, 7, 1, 2}, 2), (Tokens{3, 8}));  // the longest
  EXPECT_EQ(look_up_draft(Tokens{1, 2, 1, 2}, 9), (Tokens{1, 2}));
  EXPECT_EQ(look_up_draft(Tokens{5, 5, 5}, 9), (Tokens{5}));
  EXPECT_TRUE(look_up_draft(Tokens{1, 2, 3, 4}, 4).empty());
  EXPECT_TRUE(look_up_draft(Tokens{1}, 4).empty());
  EXPECT_TRUE(look_up_draft(Tokens{1, 2, 3, 1, 2}, 0).empty());
}

TEST(DraftMeter, GuessesWhereRowsAreCheapAndGuessesRight) {
  DraftMeter meter;
  const StepCost cheap{.fixed_s = 1, .row_s = 0.05}, dear{.fixed_s = 0, .row_s = 1};
  EXPECT_EQ(meter.choose(8, 1, {}), 0);
  EXPECT_EQ(meter.choose(8, 1, dear), 0);
  EXPECT_GT(meter.choose(8, 1, cheap), 2);
  EXPECT_LT(meter.choose(8, 40, cheap), meter.choose(8, 1, cheap));
  for (int i = 0; i < 30; ++i) meter.add(8, 8);
  EXPECT_EQ(meter.choose(8, 1, cheap), 8);
  for (int i = 0; i < 30; ++i) meter.add(8, 0);
  EXPECT_EQ(meter.choose(8, 1, cheap), 0);
  for (int i = 0; i < 100; ++i) meter.rest();
  EXPECT_GT(meter.choose(8, 1, cheap), 0);
}

}  // namespace
}  // namespace maestrale::engine
