#include "base/utf8.h"

#include <gtest/gtest.h>

namespace maestrale {
namespace {

TEST(Utf8, RoundTripsEveryCodepoint) {
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    std::string text;
    append_utf8(text, c);
    const DecodedCodepoint decoded = decode_utf8(text);
    ASSERT_TRUE(decoded.valid) << static_cast<std::uint32_t>(c);
    ASSERT_EQ(decoded.codepoint, c);
    ASSERT_EQ(decoded.length, static_cast<int>(text.size()));
  }
}

TEST(Utf8, RefusesOverlongSurrogatesAndBeyondUnicode) {
  for (const char* bad :
       {"\xc0\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80", "\x80"}) {
    EXPECT_EQ(find_invalid_utf8(bad), 0u) << bad;
  }
  EXPECT_EQ(find_invalid_utf8("a\xc3\xa9\xff"), 3u);
}

TEST(Utf8, ReplacesMaximalParts) {
  EXPECT_EQ(replace_invalid_utf8("a\xf0\x9f\x98z"), "a\xef\xbf\xbdz");
  EXPECT_EQ(replace_invalid_utf8("\xc3\xc3\xa9"), "\xef\xbf\xbd\xc3\xa9");
}

TEST(Utf8, StreamNeverEmitsHalfACharacter) {
  const std::string text = "h\xc3\xa9 \xf0\x9f\x98\x80 \xe4\xb8\xad";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Stream stream;
    const std::string first = stream.push(text.substr(0, cut));
    EXPECT_EQ(find_invalid_utf8(first), std::string::npos);
    const std::string second = stream.push(text.substr(cut));
    EXPECT_EQ(first + second + stream.flush(), text);
  }
  Utf8Stream cut_off;
  EXPECT_EQ(cut_off.push("\xf0\x9f"), "");
  EXPECT_EQ(cut_off.flush(), "\xef\xbf\xbd");
}

}  // namespace
}  // namespace maestrale
