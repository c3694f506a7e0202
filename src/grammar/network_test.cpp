#include <gtest/gtest.h>

#include "grammar/network.h"

namespace maestrale::grammar {
namespace {

TEST(PlainCharacters, TheSetAndTheQuestionAgree) {
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c == 0xd800) c = 0xe000;
    ASSERT_EQ(plain_characters().contains(c), is_plain(c)) << static_cast<std::uint32_t>(c);
  }
  EXPECT_TRUE(unescaped_characters().includes(plain_characters()));
}

}  // namespace
}  // namespace maestrale::grammar
