#include "app/answer_printer.h"

#include <gtest/gtest.h>

namespace maestrale::app {
namespace {

using chat::Event;
using Kind = chat::Event::Kind;

const std::vector<Event> kTurn = {{.kind = Kind::kReasoning, .text = "hm"},
                                  {.kind = Kind::kText, .text = "I look."},
                                  {.kind = Kind::kCallStart, .text = "f"},
                                  {.kind = Kind::kCallArguments, .text = "{}"},
                                  {.kind = Kind::kCallEnd}};

std::string shown(bool terminal, const std::vector<Event>& events) {
  AnswerPrinter printer(terminal);
  std::string text = printer.show(events);
  return text += printer.finish();
}

TEST(AnswerPrinters, DimThoughtsOnATerminal) {
  EXPECT_EQ(shown(true, kTurn), "\x1b[2mhm\x1b[0m\n\nI look.\n[call] f {}\n");
}

TEST(AnswerPrinters, MarkThoughtsElsewhere) {
  EXPECT_EQ(shown(false, kTurn), "<think>\nhm\n</think>\n\nI look.\n[call] f {}\n");
}

TEST(AnswerPrinters, CloseThoughtsThatNeverEnd) {
  const std::vector<Event> thoughts = {{.kind = Kind::kReasoning, .text = "h"},
                                       {.kind = Kind::kReasoning, .text = "m"}};
  EXPECT_EQ(shown(true, thoughts), "\x1b[2mhm\x1b[0m");
  EXPECT_EQ(shown(false, thoughts), "<think>\nhm\n</think>");
  EXPECT_EQ(shown(true, {}), "");
}

}  // namespace
}  // namespace maestrale::app
