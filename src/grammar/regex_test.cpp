// Regular expressions against PCRE2, on random expressions and texts; what is refused.
#include "grammar/regex.h"

#include <gtest/gtest.h>

#include "grammar/pattern.h"
#include "grammar/test_support.h"

namespace maestrale::grammar {
namespace {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::size_t below(std::size_t limit) {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return static_cast<std::size_t>(state_ >> 33) % limit;
  }

 private:
  std::uint64_t state_;
};

std::string random_regex(Random& random, int depth) {
  const char* const atoms[] = {"a",     "b",   "[ab]", "[^a]", ".", "\\d", "\\w", "\xc3\xa9", "[b-\xc3\xa9]",
                               "\\x61", "\\.", "^",    "$"};
  std::string out;
  for (std::size_t i = random.below(4); i < 4; ++i) {
    const std::size_t kind = depth > 2 ? 0 : random.below(5);
    std::string one =
        kind < 3    ? std::string(atoms[random.below(std::size(atoms))])
        : kind == 3 ? "(" + random_regex(random, depth + 1) + ")"
                    : "(?:" + random_regex(random, depth + 1) + "|" + random_regex(random, depth + 1) + ")";
    const char* const counts[] = {"", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "*?"};
    if (one != "^" && one != "$") one += counts[random.below(std::size(counts))];
    out += one;
  }
  return out;
}

std::string random_text(Random& random) {
  const char* const parts[] = {"a", "b", "a", "1", "\xc3\xa9", ".", " ", "\xe2\x82\xac"};
  std::string out;
  for (std::size_t i = random.below(8); i < 8; ++i) out += parts[random.below(std::size(parts))];
  return out;
}

TEST(Regex, AgreesWithPcre2) {
  Random random(7);
  int compared = 0;
  for (int i = 0; i < 500; ++i) {
    const std::string expression = random_regex(random, 0);
    const auto mine = parse_regex(expression, RegexUse::kSearch, "test");
    const auto theirs = Pattern::make(expression, "test");
    ASSERT_TRUE(mine) << mine.error().render();
    ASSERT_TRUE(theirs) << theirs.error().render();
    for (int j = 0; j < 10; ++j) {
      const std::string text = random_text(random);
      const Pattern::Found found = theirs->search(text);
      if (found == Pattern::Found::kTooMuchWork) continue;
      ASSERT_EQ(mine->matches(text), found == Pattern::Found::kYes) << expression << " on " << text;
      ++compared;
    }
  }
  EXPECT_GT(compared, 4'000);
}

TEST(Regex, OperationsOnAutomataAgreeWithMatching) {
  Random random(11);
  for (int i = 0; i < 100; ++i) {
    const auto a = parse_regex(random_regex(random, 3), RegexUse::kSearch, "test");
    const auto b = parse_regex(random_regex(random, 3), RegexUse::kWhole, "test");
    const CharNfa both = a->intersected(*b), other = a->complement();
    if (other.full()) continue;  // determinisation may blow up
    for (int j = 0; j < 10; ++j) {
      const std::string text = random_text(random);
      ASSERT_EQ(both.matches(text), a->matches(text) && b->matches(text)) << text;
      ASSERT_EQ(other.matches(text), !a->matches(text)) << text;
    }
  }
}

TEST(Regex, TheWholeTextMatchesThroughBytes) {
  const auto tokenizer = test_tokenizer();
  const auto tokens = make_token_table(*tokenizer);
  Random random(13);
  for (int i = 0; i < 150; ++i) {
    const std::string expression = random_regex(random, 0);
    const auto grammar = compile_regex(expression);
    const auto nfa = parse_regex(expression, RegexUse::kWhole, "test");
    if (!grammar) {
      ASSERT_TRUE(nfa->matches_nothing()) << expression << grammar.error().render();
      continue;
    }
    for (int j = 0; j < 10; ++j) {
      const std::string text = random_text(random);
      ASSERT_EQ(accepts(*grammar, tokens, text), nfa->matches(text)) << expression << " on " << text;
    }
  }
}

TEST(Regex, RefusesByName) {
  for (const char* expression :
       {"(?=a)", "(?!a)", "(?<=a)b", "(a)\\1", "\\bword", "(?i)a", "\\p{Script=Greek}", "(?<n>a)\\k<n>"}) {
    EXPECT_EQ(parse_regex(expression, RegexUse::kWhole, "t").error().kind, ErrorKind::kUnsupported)
        << expression;
  }
  for (const char* expression :
       {"(", ")", "a{3,2}", "[b-a]", "*a", "a**", "[a", "\\", "\\a", "\\ud800", "\xff"}) {
    const auto made = parse_regex(expression, RegexUse::kWhole, "t");
    ASSERT_FALSE(made) << expression;
    EXPECT_EQ(made.error().kind, ErrorKind::kInvalidInput) << expression;
  }
  EXPECT_EQ(parse_regex("a{1,100000000}", RegexUse::kWhole, "t").error().kind, ErrorKind::kResource);
  EXPECT_EQ(parse_regex("((a{1,1000}){1,1000}){1,1000}", RegexUse::kWhole, "t").error().kind,
            ErrorKind::kResource);
  EXPECT_FALSE(parse_regex(std::string(5000, '('), RegexUse::kWhole, "t"));
}

}  // namespace
}  // namespace maestrale::grammar
