#include "base/result.h"

#include <gtest/gtest.h>

namespace maestrale {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0)
    return Error{.what = "odd number", .where = "n", .expected = "even", .found = std::to_string(n)};
  return n / 2;
}

Result<int> quarter(int n) {
  const int h = TRY(half(n));
  return half(h);
}

TEST(Result, CarriesValueOrError) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().render(), "n: odd number (expected even, found 3)");
}

TEST(Result, RendersControlBytesHarmlessly) {
  const Error error{.what = "bad \x1b[31mname", .where = "file\n2", .hint = "rename it"};
  EXPECT_EQ(error.render(), "file\\n2: bad \\x1b[31mname; rename it");
}

TEST(Result, ShortensLongValues) {
  EXPECT_LT((Error{.what = std::string(100000, 'x')}.render().size()), 500u);
}

}  // namespace
}  // namespace maestrale
