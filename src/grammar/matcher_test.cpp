// Masks against the plain truth: a token is allowed if and only if its bytes can be accepted one by one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/test_support.h"

namespace maestrale::grammar {
namespace {

const std::vector<std::string> kLonger = {
    "ab",          "abc",   "\"a",   "a\"",        "\":",  "\",\"", "{\"", "}}",   "]}",
    "\xc3\xa9",    "\xa9x", "12",    "0.5",        "true", "rue",   "  ",  "\n  ", "aaaaaaaaaaaaaaaaaaaa",
    "b\",\"b\":1", "\\n",   "\\u00", "\":{\"a\":", "((",   "1+(2"};

GrammarPtr gbnf(std::string_view source) {
  auto made = compile_gbnf(source);
  EXPECT_TRUE(made) << (made ? "" : made.error().render());
  return made ? *made : nullptr;
}

class MatcherTest : public testing::Test {
 protected:
  text::TokenizerPtr tokenizer = test_tokenizer(kLonger);
  TokenTablePtr tokens = make_token_table(*tokenizer);
  std::size_t size = static_cast<std::size_t>(tokenizer->size());
  text::TokenId end = tokenizer->size() - 1;

  // Random walks through the grammar; at each step the mask is compared with trying every token.
  void compare(const GrammarPtr& grammar, int walks, std::uint64_t seed) {
    ASSERT_NE(grammar, nullptr);
    for (int walk = 0; walk < walks; ++walk) {
      Matcher matcher(grammar, tokens);
      std::vector<text::TokenId> path;
      for (int step = 0; step < 30; ++step) {
        const auto now = allowed(matcher, size);
        for (text::TokenId token = 0; token < end; ++token) {
          Matcher twin(grammar, tokens);
          for (const text::TokenId past : path) ASSERT_TRUE(twin.accept(past));
          ASSERT_EQ(std::find(now.begin(), now.end(), token) != now.end(), twin.accept(token))
              << "token " << token << " after " << tokenizer->decode(path);
        }
        ASSERT_EQ(std::find(now.begin(), now.end(), end) != now.end(), matcher.complete());
        if (now.empty() || matcher.finished()) break;
        seed = seed * 6364136223846793005 + 1442695040888963407;
        const text::TokenId choice = now[(seed >> 33) % now.size()];
        if (choice == end) break;
        ASSERT_TRUE(matcher.accept(choice));
        path.push_back(choice);
      }
    }
  }
};

TEST_F(MatcherTest, EndTokenIsKnown) { ASSERT_THAT(tokenizer->end_tokens(), testing::ElementsAre(end)); }

TEST_F(MatcherTest, FollowsAListOfChoices) {
  const std::vector<std::string> choices = {"ab", "abc", "b"};
  const auto grammar = compile_choices(choices);
  ASSERT_TRUE(grammar);
  Matcher matcher(*grammar, tokens);
  EXPECT_THAT(allowed(matcher, size), testing::UnorderedElementsAre('a', 'b', 256, 257));
  EXPECT_FALSE(matcher.accept('c'));
  EXPECT_FALSE(matcher.accept(end));
  EXPECT_TRUE(matcher.accept(256));
  EXPECT_TRUE(matcher.complete());
  EXPECT_FALSE(matcher.finished());
  EXPECT_THAT(allowed(matcher, size), testing::UnorderedElementsAre('c', end));
  EXPECT_TRUE(matcher.accept('c'));
  EXPECT_TRUE(matcher.finished());
  EXPECT_THAT(allowed(matcher, size), testing::ElementsAre(end));
  EXPECT_TRUE(matcher.accept(end));
  EXPECT_FALSE(matcher.accept('a'));
}

TEST_F(MatcherTest, BitsBeyondTheVocabularyAreCleared) {
  const std::vector<std::string> choices = {"a"};
  Matcher matcher(*compile_choices(choices), tokens);
  std::vector<std::uint64_t> mask(tokens == nullptr ? 0 : size / 64 + 5, ~std::uint64_t{0});
  matcher.mask(mask);
  EXPECT_EQ(mask.back(), 0U);
}

TEST_F(MatcherTest, MaskIsWhatCanBeAccepted) {
  compare(gbnf("root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" expr \")\""), 6, 1);
  compare(gbnf("root ::= \"\\\"\" [^\"\\\\]* \"\\\"\""), 3, 2);
  compare(gbnf("root ::= .{0,40}"), 2, 3);
  compare(gbnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\""), 3, 4);
}

TEST_F(MatcherTest, AmbiguityDoesNotBlowUp) {
  const auto grammar = gbnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\" root | \"x\"");
  Matcher matcher(grammar, tokens);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(matcher.accept('a'));
  ASSERT_TRUE(matcher.accept('x'));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(matcher.accept(i % 3 == 0 ? 'b' : 'c')) << i;
  EXPECT_TRUE(matcher.finished());
}

TEST_F(MatcherTest, DeepNestingEndsAtTheLimit) {
  Matcher matcher(gbnf("root ::= \"(\" root \")\" | \"x\""), tokens);
  int depth = 0;
  while (depth < 10'000 && matcher.accept('(')) ++depth;
  EXPECT_GE(depth, 200);
  EXPECT_LT(depth, 10'000);
  ASSERT_TRUE(matcher.accept('x'));
  for (int i = 0; i < depth; ++i) ASSERT_TRUE(matcher.accept(')'));
  EXPECT_TRUE(matcher.finished());
}

TEST_F(MatcherTest, SeparateMatchersShareAGrammar) {
  const auto grammar = gbnf("root ::= [a-z]+");
  Matcher one(grammar, tokens), two(grammar, tokens);
  ASSERT_TRUE(one.accept('q'));
  EXPECT_FALSE(two.complete());
  EXPECT_TRUE(one.complete());
}

}  // namespace
}  // namespace maestrale::grammar
