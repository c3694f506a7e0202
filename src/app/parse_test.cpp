#include "app/parse.h"

#include <gtest/gtest.h>

#include <cmath>

namespace maestrale::app {
namespace {

TEST(Parse, Integers) {
  EXPECT_EQ(parse_integer("42", 0, 100, "x").value(), 42);
  EXPECT_EQ(parse_integer(" -1 ", -1, 100, "x").value(), -1);
  EXPECT_EQ(parse_integer("010", 0, 100, "x").value(), 10);
  for (const char* bad :
       {"", " ", "-1", "101", "0x10", "1e2", "4.0", "nan", "9999999999999999999999", "1 2", "+1"}) {
    const auto result = parse_integer(bad, 0, 100, "--threads");
    ASSERT_FALSE(result.ok()) << bad;
    EXPECT_EQ(result.error().where, "--threads");
    EXPECT_EQ(result.error().kind, ErrorKind::kUsage);
  }
}

TEST(Parse, TimesAndDates) {
  EXPECT_EQ(parse_duration("90s", "x").value(), 90);
  EXPECT_EQ(parse_duration("15m", "x").value(), 900);
  EXPECT_EQ(parse_duration("12h", "x").value(), 43200);
  EXPECT_EQ(parse_duration(" 30d ", "x").value(), 2592000);
  EXPECT_EQ(parse_duration("2w", "x").value(), 1209600);
  for (const char* bad : {"", "d", "1", "0d", "-1d", "1.5d", "1y", "99999999999999999w", "40000d"})
    EXPECT_FALSE(parse_duration(bad, "x").ok()) << bad;
  EXPECT_EQ(parse_date("1970-01-02", "x").value(), 86400);
  EXPECT_EQ(parse_date("2024-02-29", "x").value(), 1709164800);
  EXPECT_EQ(parse_date("2024-02-29T01:02:03Z", "x").value(), 1709164800 + 3723);
  for (const char* bad : {"", "2024", "2023-02-29", "2024-13-01", "2024-00-01", "1969-12-31", "2024-01-01x",
                          "2024-01-01T24:00:00Z", "2024-01-01T00:00:00", "24-01-01", "2024-1--1"})
    EXPECT_FALSE(parse_date(bad, "x").ok()) << bad;
}

TEST(Parse, NumbersAreFinite) {
  EXPECT_EQ(parse_number("0.5", 0, 1, "x").value(), 0.5);
  EXPECT_EQ(parse_number("1e-3", 0, 1, "x").value(), 1e-3);
  for (const char* bad : {"", "nan", "NaN", "inf", "-inf", "-0.1", "1.1", "0,5", "1e999", "0.5x"}) {
    EXPECT_FALSE(parse_number(bad, 0, 1, "x").ok()) << bad;
  }
}

TEST(Parse, Sizes) {
  EXPECT_EQ(parse_size("8GB", "x").value(), 8000000000u);
  EXPECT_EQ(parse_size("8 GiB", "x").value(), 8589934592u);
  EXPECT_EQ(parse_size("1.5g", "x").value(), 1500000000u);
  EXPECT_EQ(parse_size("512Mi", "x").value(), 536870912u);
  EXPECT_EQ(parse_size("2000000", "x").value(), 2000000u);
  EXPECT_EQ(parse_size("1TB", "x").value(), 1000000000000u);
  for (const char* bad :
       {"", "0", "0GB", "GB", "-8GB", "8XB", "8GBs", "1.2.3G", "nan", "1e9", "99999999999T"}) {
    EXPECT_FALSE(parse_size(bad, "--memory").ok()) << bad;
  }
}

TEST(Parse, TokenLists) {
  EXPECT_EQ(parse_tokens("1,2,3", "x").value(), (std::vector<text::TokenId>{1, 2, 3}));
  EXPECT_EQ(parse_tokens(" [1, 2 ,3] ", "x").value(), (std::vector<text::TokenId>{1, 2, 3}));
  for (const char* bad : {"", "[]", "1,", ",1", "1,,2", "1;2", "-1", "2147483648", "[1", "1]"}) {
    EXPECT_FALSE(parse_tokens(bad, "--tokens").ok()) << bad;
  }
}

TEST(Parse, Biases) {
  EXPECT_EQ(parse_bias("5=-3.5", "x").value(), (std::pair<text::TokenId, double>{5, -3.5}));
  EXPECT_EQ(parse_bias("5=-inf", "x").value().second, -INFINITY);
  for (const char* bad : {"5", "5=", "=3", "5=nan", "5=inf", "-5=1", "5=1=2"}) {
    EXPECT_FALSE(parse_bias(bad, "--logit-bias").ok()) << bad;
  }
}

TEST(Parse, Seeds) {
  EXPECT_EQ(parse_seed("18446744073709551615", "x").value(), 18446744073709551615u);
  EXPECT_FALSE(parse_seed("-1", "x").ok());
  EXPECT_FALSE(parse_seed("1.5", "x").ok());
}

}  // namespace
}  // namespace maestrale::app
