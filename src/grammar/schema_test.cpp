// JSON Schema as texts: what is accepted, what is not, what is refused and where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "grammar/number_range.h"
#include "grammar/test_support.h"
#include "grammar/validate.h"

namespace maestrale::grammar {
namespace {

class SchemaTest : public testing::Test {
 protected:
  text::TokenizerPtr tokenizer = test_tokenizer({"\"a\":", "a\":", ",\"a\":1", "\":1}", "1,\"b"});
  TokenTablePtr tokens = make_token_table(*tokenizer);

  GrammarPtr compile(const std::string& schema, JsonStyle style = {}) {
    const auto parsed = parse_json(schema, "test");
    EXPECT_TRUE(parsed) << schema;
    auto made = compile_json_schema(*parsed, style, "s");
    EXPECT_TRUE(made) << (made ? "" : made.error().render());
    return made ? *made : nullptr;
  }
  Error refusal(const std::string& schema) {
    const auto made = compile_json_schema(*parse_json(schema, "test"), {}, "s");
    EXPECT_FALSE(made) << schema;
    return made ? Error{} : made.error();
  }
  void expect(const std::string& schema, const std::vector<std::string>& good,
              const std::vector<std::string>& bad) {
    const GrammarPtr grammar = compile(schema);
    for (const std::string& text : good)
      EXPECT_TRUE(accepts(grammar, tokens, text)) << schema << ": " << text;
    for (const std::string& text : bad)
      EXPECT_FALSE(accepts(grammar, tokens, text)) << schema << ": " << text;
  }
};

TEST_F(SchemaTest, PropertiesComeInTheirOrderAndAdditionalOnesAfter) {
  const std::string schema = R"({"properties":{"a":{"type":"integer"},"b":{"type":"null"}},"required":["b"],
                                "additionalProperties":{"type":"boolean"},"type":"object"})";
  expect(schema, {R"({"a": 1, "b": null})", R"({"b":null})", R"({"a":1,"b":null,"c":true,"d":false})"},
         {R"({"b": null, "a": 1})", R"({"a": 1})", R"({"b":null,"c":1})", R"({"b":null,"a":true})", "{}",
          R"({"b":null,})", R"({"b":null,"c":true,"c":true})"});
}

TEST_F(SchemaTest, NoKeyComesTwice) {
  const auto object = compile_json_object();
  ASSERT_TRUE(object);
  for (const char* text : {R"({"a": 1, "b": {"a": 2}, "c": [{"a": 1}, {"a": 1}]})", R"({"a\"b": 1, "a": 2})",
                           R"({"a": "\"a\":", "": 1})"}) {
    EXPECT_TRUE(accepts(*object, tokens, text)) << text;
  }
  for (const char* text :
       {R"({"a": 1, "a": 2})", R"({"b": {"a": 1}, "c": 1, "b": 1})", R"({"a": {"x": 1, "x": 2}})"}) {
    EXPECT_FALSE(accepts(*object, tokens, text)) << text;
  }
  // The same through tokens that reach over a key's end.
  Matcher matcher(*object, tokens);
  for (const char byte : std::string("{\"a\":1,")) ASSERT_TRUE(matcher.accept(byte));
  EXPECT_THAT(allowed(matcher, 300), testing::Not(testing::Contains(256)));
  ASSERT_TRUE(matcher.accept('"'));
  EXPECT_THAT(allowed(matcher, 300), testing::Not(testing::Contains(257)));
  EXPECT_FALSE(matcher.accept(257));
  ASSERT_TRUE(matcher.accept('a'));
  EXPECT_FALSE(matcher.accept('"'));
  ASSERT_TRUE(matcher.accept('b'));
  EXPECT_THAT(allowed(matcher, 300), testing::Contains('"'));
}

TEST_F(SchemaTest, LengthsCountCodePointsHoweverTheyAreWritten) {
  expect(
      R"({"type":"string","minLength":2,"maxLength":3})",
      {R"("ab")", "\"\xc3\xa9\xf0\x9f\x98\x80\"", R"("\u00e9\n")", R"("\ud83d\ude00ab")"},
      {R"("a")", R"("abcd")", R"("\u00e9")", R"("\ud83d\ude00")", R"("\ud83dab")", "\"a\xc3\"", "\"a\nb\""});
}

TEST_F(SchemaTest, PatternsAndFormats) {
  expect(R"({"type":"string","pattern":"^a+\"?$","maxLength":3})", {R"("aa")", R"("aa\"")"},
         {R"("aaaa")", R"("ba")"});
  expect(R"({"type":"string","pattern":"b"})", {R"("abc")"}, {R"("ac")"});
  expect(R"({"format":"date","type":"string"})", {R"("2024-02-29")", R"("1999-12-31")"},
         {R"("2023-02-29")", R"("1900-02-29")", R"("2023-04-31")", R"("2023-13-01")"});
  expect(R"({"format":"ipv6","type":"string"})", {R"("::1")", R"("1:2:3:4:5:6:7:8")", R"("a::b")", R"("::")"},
         {R"("1:2:3:4:5:6:7")", R"("1::2::3")", R"("1:2:3:4:5:6:7:8::")", R"(":1")"});
  expect(R"({"format":"int32","type":"integer"})", {"5"}, {});
}

TEST_F(SchemaTest, RecursionThroughReferences) {
  const std::string schema = R"({"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":
      {"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}},
      "$ref":"#/$defs/n"})";
  expect(schema, {R"({"v": 1, "next": {"v": 2, "next": null}})"},
         {R"({"v": 1, "next": {"v": 2}})", R"({"v":1})"});
}

TEST_F(SchemaTest, OneOfWithATag) {
  const std::string schema = R"({"oneOf":[
      {"type":"object","properties":{"kind":{"const":"a"},"x":{"type":"integer"}},"required":["kind","x"]},
      {"type":"object","properties":{"kind":{"const":"b"}},"required":["kind"]}]})";
  expect(schema, {R"({"kind": "a", "x": 1})", R"({"kind": "b", "x": null})"},
         {R"({"kind": "a"})", R"({"kind":"c"})"});
}

TEST_F(SchemaTest, CompactStyleHasNoBlanks) {
  const auto grammar =
      compile(R"({"type":"object","properties":{"a":{"type":"array"}},"required":["a"]})", {.compact = true});
  EXPECT_TRUE(accepts(grammar, tokens, R"({"a":[1,[]]})"));
  EXPECT_FALSE(accepts(grammar, tokens, R"({"a": []})"));
}

TEST_F(SchemaTest, WhatCannotBeKeptIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"properties":{"a":{"not":{}}}})", "s#/properties/a/not"},
      {R"({"if":{},"then":{}})", "s#/if"},
      {R"({"uniqueItems":true})", "s#/uniqueItems"},
      {R"({"contains":{}})", "s#/contains"},
      {R"({"multipleOf":3})", "s#/multipleOf"},
      {R"({"dependentRequired":{"a":["b"]}})", "s#/dependentRequired"},
      {R"({"unevaluatedProperties":false})", "s#/unevaluatedProperties"},
      {R"({"oneOf":[{"minimum":1},{"maximum":3}]})", "s#/oneOf"},
      {R"({"$ref":"http://elsewhere/x"})", "s#/$ref"},
      {R"({"type":"string","format":"regex"})", "s#/format"},
      {R"({"items":[{}]})", "s#/items"},
      {R"({"type":"string","pattern":"(?=a)b"})", "s#/pattern at byte 1"},
      {R"({"patternProperties":{"^[ab]$":{}}})", "s#"}};
  for (const auto& [schema, where] : cases) {
    const Error error = refusal(schema);
    EXPECT_EQ(error.kind, ErrorKind::kUnsupported) << schema << ": " << error.render();
    EXPECT_EQ(error.where, where) << error.render();
  }
}

TEST_F(SchemaTest, WrongSchemasAndLimits) {
  for (const char* schema :
       {R"({"type":"text"})", R"({"minLength":-1})", R"({"required":"a"})", R"({"allOf":[]})", "3",
        R"({"properties":[]})", R"({"$ref":"#"})", R"({"anyOf":[{"$ref":"#"},{}]})", "false"}) {
    EXPECT_EQ(refusal(schema).kind, ErrorKind::kInvalidInput) << schema;
  }
  for (const char* schema :
       {R"({"type":"array","minItems":1000000000000})", R"({"type":"string","minLength":90000000})",
        R"({"type":"string","pattern":"^(a{1,1000}){1,1000}$"})",
        R"({"type":"object","maxProperties":99999999})",
        R"({"type":"string","pattern":"^(a|b)*a(a|b){12}$","minLength":200000})"}) {
    EXPECT_EQ(refusal(schema).kind, ErrorKind::kResource) << schema;
  }
  std::string deep = "{}";
  for (int i = 0; i < 150; ++i) deep = "{\"items\":" + deep + "}";
  EXPECT_EQ(compile_json_schema(*parse_json(deep, "t", 400)).error().kind, ErrorKind::kResource);
}

TEST_F(SchemaTest, CountsOfMembers) {
  expect(R"({"type":"object","properties":{"a":{},"b":{}},"additionalProperties":false,"minProperties":1})",
         {R"({"a": 1})", R"({"b": 1})", R"({"a": 1, "b": 1})"}, {"{}"});
  expect(R"({"type":"object","properties":{"a":{}},"maxProperties":2})",
         {"{}", R"({"a": 1, "c": 1})", R"({"x":1,"y":2})"}, {R"({"a": 1, "c": 1, "d": 1})"});
}

// Every number of a grid, against arithmetic.
TEST_F(SchemaTest, NumberRangesAreExact) {
  const std::vector<std::string> limits = {"-12.5", "-10",  "-1", "-0.25", "0",  "0.1",
                                           "1",     "9.99", "10", "105",   "1e3"};
  std::vector<std::string> numbers = {"0",    "0.0",  "0.1",   "0.10",  "0.09", "0.11",    "0.25",
                                      "9.98", "9.99", "9.990", "9.991", "12.5", "12.50001"};
  for (const int n : {1, 2, 9, 10, 11, 12, 13, 99, 100, 104, 105, 106, 999, 1000, 1001, 20000}) {
    numbers.push_back(std::to_string(n));
    numbers.push_back(std::to_string(n) + ".5");
  }
  for (const std::string& low : limits) {
    for (const std::string& high : limits) {
      for (const bool exclusive : {false, true}) {
        NumberRange range;
        range.raise({Decimal::of(json::value(std::stod(low))), exclusive});
        range.lower({Decimal::of(json::value(std::stod(high))), exclusive});
        const CharNfa nfa = numbers_in(range);
        for (const std::string& magnitude : numbers) {
          for (const std::string& text : {magnitude, "-" + magnitude}) {
            const double x = std::stod(text), a = std::stod(low), b = std::stod(high);
            bool inside = exclusive ? a < x && x < b : a <= x && x <= b;
            if (x == 0 && text[0] == '-') inside = false;  // zero has no sign
            ASSERT_EQ(nfa.matches(text), inside)
                << text << " in " << low << ".." << high << (exclusive ? " exclusive" : "");
          }
        }
      }
    }
  }
}

TEST_F(SchemaTest, ValidatorSaysWhere) {
  const auto validator =
      Validator::make(*parse_json(R"({"properties":{"a":{"items":{"type":"integer"}}}})", "t"));
  ASSERT_TRUE(validator);
  EXPECT_TRUE(validator->validate(*parse_json(R"({"a": [1, 2.0]})", "t")));
  const Status wrong = validator->validate(*parse_json(R"({"a": [1, "x"]})", "t"), "arguments");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().where, "arguments/a/1");
  EXPECT_THAT(wrong.error().expected, testing::HasSubstr("json_schema#/properties/a/items/type"));
}

}  // namespace
}  // namespace maestrale::grammar
