#include "chat/call_free_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/utf8.h"
#include "chat/byte_vocabulary.h"
#include "chat/turn_parser.h"
#include "grammar/grammar.h"

namespace maestrale::chat {
namespace {

class CallFreeText : public testing::TestWithParam<const char*> {
 protected:
  const Dialect& dialect() const { return *find_dialect(GetParam()); }
  bool matches(const std::string& source, std::string_view text) {
    auto& grammar = grammars_[source];
    if (grammar == nullptr) grammar = grammar::compile_gbnf(source).value();
    grammar::Matcher matcher(grammar, table_);
    return matcher.begin_with(text) && matcher.complete();
  }
  // Whether the parser takes the whole of it for text.
  bool is_text(std::string_view text) const {
    const auto parser = make_turn_parser(dialect(), TurnStart::kNew);
    std::vector<Event> events;
    parser->push(text, events);
    parser->finish(events);
    return std::all_of(events.begin(), events.end(),
                       [](const Event& event) { return event.kind == Event::Kind::kText; });
  }

 private:
  text::TokenizerPtr tokenizer_ = bytes_and({"<|x|>"});
  grammar::TokenTablePtr table_ = grammar::make_token_table(*tokenizer_);
  std::map<std::string, grammar::GrammarPtr> grammars_;
};

TEST_P(CallFreeText, TakesWhatNoCallBeginsWith) {
  const std::string answer = call_free_answer(dialect());
  for (const char* text :
       {"", "{", "{}", "{\"answer\": 42}", "{ \"names\": 1}", "{\"nam", "[1, 2]", "[link](there)", "[(x)]",
        "Plain words (f) {\"name\": \"f\"}", "  \n text", "a < b <| c <|py <think", "[ \"f(\"]", "<<|x|>"}) {
    EXPECT_TRUE(matches(answer, text)) << text;
    EXPECT_TRUE(is_text(text)) << text;
  }
}

TEST_P(CallFreeText, LeavesOutWhatBeginsLikeACall) {
  const std::string answer = call_free_answer(dialect());
  for (const char* text : {"{\"name\": \"f\"}", " {\n\"parameters\": {}", "{\"id\"", "[f(", "[ a.b-c(x)",
                           "<think>", "text <think>"})
    EXPECT_FALSE(matches(answer, text)) << text;
  EXPECT_TRUE(matches(unmarked_text(opening_marks(dialect())), "{\"name\": \"f\"}"));
  for (const CallTrigger& call : dialect().calls) {
    if (!call.anywhere) continue;
    EXPECT_FALSE(matches(answer, "x" + std::string(call.mark))) << call.mark;
    EXPECT_FALSE(matches(unmarked_text(opening_marks(dialect())), "<<" + std::string(call.mark) + "f()"))
        << call.mark;
  }
}

// Rows of pieces of calls: whatever the source takes, the parser takes for text.
TEST_P(CallFreeText, AgreesWithTheParser) {
  const std::string answer = call_free_answer(dialect());
  const std::vector<std::string> pieces = {"{",
                                           "}",
                                           "[",
                                           "]",
                                           "(",
                                           ")",
                                           " ",
                                           "\n",
                                           "\"name\"",
                                           ": ",
                                           "\"f\"",
                                           ", ",
                                           "\"parameters\"",
                                           "{}",
                                           "f(",
                                           "g()",
                                           "a=1",
                                           "<think>",
                                           "<|python_",
                                           "tag|>",
                                           "start|>",
                                           "end|>",
                                           "<",
                                           "|",
                                           "\"",
                                           "name",
                                           "1",
                                           ";",
                                           "x"};
  std::mt19937 random(7);
  int taken = 0, refused_calls = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto count = random() % 9; count > 0; --count) text += pieces[random() % pieces.size()];
    const bool matched = matches(answer, text), plain = is_text(text);
    EXPECT_TRUE(!matched || plain) << text;
    taken += matched;
    refused_calls += !matched && !plain;
  }
  EXPECT_GT(taken, 1000);
  EXPECT_GT(refused_calls, 20);
}

INSTANTIATE_TEST_SUITE_P(Dialects, CallFreeText, testing::Values("llama3", "llama4"));

class UnmarkedText : public CallFreeText {};

// Rows of pieces of marks: taken exactly where no mark stands in them.
TEST_P(UnmarkedText, HasNoneOfTheMarks) {
  const std::vector<std::string_view> marks = opening_marks(dialect());
  const std::string source = unmarked_text(marks);
  std::vector<std::string> pieces = {"x", "<", "[", "]", ">", "{\"a\": 1}", " ", "é", "｜"};
  for (const std::string_view mark : marks) {
    const std::size_t cut = mark.find_last_of("_<[") + 1;  // marks of ASCII in two, others whole
    pieces.emplace_back(mark.substr(0, cut));
    pieces.emplace_back(mark.substr(cut));
  }
  std::erase_if(pieces, [](const std::string& piece) { return find_invalid_utf8(piece) != piece.npos; });
  std::mt19937 random(11);
  int marked = 0, unmarked = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto count = random() % 7; count > 0; --count) text += pieces[random() % pieces.size()];
    const bool has_mark = std::any_of(marks.begin(), marks.end(),
                                      [&](std::string_view mark) { return text.find(mark) != text.npos; });
    EXPECT_EQ(matches(source, text), !has_mark) << text;
    (has_mark ? marked : unmarked) += 1;
  }
  EXPECT_GT(marked, 100);
  EXPECT_GT(unmarked, 1000);
}

INSTANTIATE_TEST_SUITE_P(Dialects, UnmarkedText,
                         testing::Values("hermes", "mistral", "deepseek", "gemma4", "function-gemma",
                                         "llama3", "llama4"));

}  // namespace
}  // namespace maestrale::chat
