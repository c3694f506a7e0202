#include "engine/sampler/stop.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/rng.h"

namespace maestrale::engine {
namespace {

StopMatcher matcher(const std::vector<std::string>& strings, std::vector<text::TokenId> tokens = {}) {
  return StopMatcher::create(strings, std::move(tokens)).value();
}

TEST(StopMatcher, HoldsBackWhatMayBecomeAStopString) {
  StopMatcher stops = matcher({"</end>"});
  EXPECT_EQ(stops.push("one <"), "one ");
  EXPECT_EQ(stops.push("/e"), "");
  EXPECT_EQ(stops.push("x"), "</ex");
  EXPECT_EQ(stops.push(" two</en"), " two");
  EXPECT_EQ(stops.push("d>tail"), "");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.stopped_by(), "</end>");
  EXPECT_EQ(stops.push("more"), "");
  EXPECT_EQ(stops.flush(), "");
}

TEST(StopMatcher, FlushGivesWhatWasHeld) {
  StopMatcher stops = matcher({"abcd"});
  EXPECT_EQ(stops.push("xabc"), "x");
  EXPECT_EQ(stops.flush(), "abc");
  EXPECT_FALSE(stops.stopped());
}

TEST(StopMatcher, SelfOverlappingPatterns) {
  StopMatcher stops = matcher({"aab"});
  EXPECT_EQ(stops.push("aaaa"), "aa");
  EXPECT_EQ(stops.push("b"), "");
  EXPECT_TRUE(stops.stopped());
}

TEST(StopMatcher, EarliestEndThenLongestCounts) {
  StopMatcher stops = matcher({"lo w", "world", "hello"});
  EXPECT_EQ(stops.push("say hello world"), "say ");
  EXPECT_EQ(stops.stopped_by(), "hello");
  StopMatcher longest = matcher({"b", "ab"});
  EXPECT_EQ(longest.push("xab"), "x");
  EXPECT_EQ(longest.stopped_by(), "ab");
}

TEST(StopMatcher, PiecesDoNotMatter) {
  const std::vector<std::string> strings = {"abab", "bb", "caa", "aaaab"};
  for (std::uint64_t round = 0; round < 2000; ++round) {
    std::string input;
    for (std::uint64_t i = 0; i < 24; ++i) input += "abc"[philox(1, round, i)[0] % 3];
    StopMatcher whole = matcher(strings);
    std::string expected = whole.push(input);
    expected += whole.flush();
    StopMatcher pieces = matcher(strings);
    std::string shown;
    for (std::size_t i = 0; i < input.size();) {
      const std::size_t length = 1 + philox(2, round, i)[0] % 3;
      shown += pieces.push(input.substr(i, length));
      EXPECT_EQ(input.compare(0, shown.size(), shown), 0);
      i += length;
    }
    shown += pieces.flush();
    ASSERT_EQ(shown, expected) << input;
    ASSERT_EQ(pieces.stopped_by(), whole.stopped_by()) << input;
  }
}

TEST(StopMatcher, WithoutStringsEverythingPasses) {
  StopMatcher stops = matcher({}, {7, 2});
  EXPECT_EQ(stops.push("text"), "text");
  EXPECT_TRUE(stops.is_stop_token(2));
  EXPECT_TRUE(stops.is_stop_token(7));
  EXPECT_FALSE(stops.is_stop_token(3));
}

TEST(StopMatcher, RefusesUnusableStrings) {
  EXPECT_FALSE(StopMatcher::create({""}, {}).ok());
  EXPECT_FALSE(StopMatcher::create({"\xc3"}, {}).ok());
  EXPECT_FALSE(StopMatcher::create({std::string(StopMatcher::kMaxLength + 1, 'a')}, {}).ok());
  EXPECT_FALSE(StopMatcher::create(std::vector<std::string>(StopMatcher::kMaxStrings + 1, "a"), {}).ok());
}

TEST(StopMatcher, LongRepetitiveTextIsLinear) {
  StopMatcher stops = matcher({std::string(20000, 'a') + "b"});
  std::size_t shown = 0;
  for (int i = 0; i < 2000; ++i) shown += stops.push(std::string(1000, 'a')).size();
  EXPECT_EQ(shown + stops.flush().size(), 2000000u);
}

}  // namespace
}  // namespace maestrale::engine
