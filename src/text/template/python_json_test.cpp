#include "text/template/python_json.h"

#include <gtest/gtest.h>

namespace maestrale::text {
namespace {

struct Case {
  const char* text;
  const char* expected;  // nullptr: not JSON
};

class PythonJson : public testing::TestWithParam<Case> {};

TEST_P(PythonJson, IsSpelledAsPythonSpellsIt) {
  const auto got = python_json_again(GetParam().text);
  if (GetParam().expected == nullptr) {
    EXPECT_FALSE(got.has_value()) << *got;
  } else {
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(*got, GetParam().expected);
    EXPECT_EQ(python_json_again(*got), got);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, PythonJson,
    testing::Values(
        Case{R"( {"a":1,"b":[1,2,{}],"c":[]} )", R"({"a": 1, "b": [1, 2, {}], "c": []})"}, Case{"22", "22"},
        Case{"-0", "0"}, Case{"123456789012345678901234567890", "123456789012345678901234567890"},
        Case{"1.0", "1.0"}, Case{"1e5", "100000.0"}, Case{"1E400", "Infinity"}, Case{"1e16", "1e+16"},
        Case{"0.00001", "1e-05"}, Case{"NaN", "NaN"}, Case{"-Infinity", "-Infinity"},
        Case{R"("\u00e9\ud83d\ude00\/\n\u0001")", "\"é😀/\\n\\u0001\""},
        Case{R"({"a":1,"b":2,"a":3})", R"({"a": 3, "b": 2})"}, Case{"true", "true"}, Case{"", nullptr},
        Case{"nul", nullptr}, Case{"01", nullptr}, Case{"1.", nullptr}, Case{"[1,]", nullptr},
        Case{R"({"a":1,})", nullptr}, Case{R"({a:1})", nullptr}, Case{R"("\ud800")", nullptr},
        Case{"\"a\nb\"", nullptr}, Case{"[1", nullptr}, Case{"1 2", nullptr}, Case{"'a'", nullptr}));

TEST(PythonJsonDepth, HasABound) { EXPECT_FALSE(python_json_again(std::string(100000, '[')).has_value()); }

}  // namespace
}  // namespace maestrale::text
