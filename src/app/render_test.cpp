#include "app/render.h"

#include <gtest/gtest.h>

namespace maestrale::app {
namespace {

TEST(Render, Counts) {
  EXPECT_EQ(human_count(512), "512");
  EXPECT_EQ(human_count(260032), "260 thousand");
  EXPECT_EQ(human_count(1100048384), "1.10 billion");
  EXPECT_EQ(human_count(7241732), "7.2 million");
  EXPECT_EQ(human_count(1043000000000), "1.04 trillion");
}

TEST(Render, QuotedTextStaysOnItsLine) {
  EXPECT_EQ(show_text("a\n\x1b[31m\"\\"), "\"a\\n\\x1b[31m\\\"\\\\\"");
  EXPECT_EQ(show_text("caff\xc3\xa8 \xff"), "\"caff\xc3\xa8 \xef\xbf\xbd\"");
}

TEST(Render, Pad) {
  EXPECT_EQ(pad("ab", 4), "ab  ");
  EXPECT_EQ(pad("abcdef", 4), "abcdef");
}

}  // namespace
}  // namespace maestrale::app
