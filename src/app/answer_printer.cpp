#include "app/answer_printer.h"

namespace maestrale::app {
namespace {

constexpr std::string_view kDim = "\x1b[2m", kNormal = "\x1b[0m";

}  // namespace

void AnswerPrinter::leave_thoughts(std::string& out) {
  if (!thinking_) return;
  out += terminal_ ? kNormal : std::string_view("\n</think>");
  out += "\n\n";
  thinking_ = false;
  at_line_start_ = true;
}

std::string AnswerPrinter::show(const std::vector<chat::Event>& events) {
  std::string out;
  for (const chat::Event& event : events) {
    switch (event.kind) {
      case chat::Event::Kind::kReasoning:
        if (!thinking_) {
          if (!at_line_start_) out += "\n";
          out += terminal_ ? kDim : std::string_view("<think>\n");
          thinking_ = true;
        }
        out += event.text;
        break;
      case chat::Event::Kind::kText:
        leave_thoughts(out);
        out += event.text;
        at_line_start_ = event.text.empty() ? at_line_start_ : event.text.back() == '\n';
        break;
      case chat::Event::Kind::kCallStart:
        leave_thoughts(out);
        if (!at_line_start_) out += "\n";
        out += "[call] " + event.text + " ";
        break;
      case chat::Event::Kind::kCallArguments:
        out += event.text;
        break;
      case chat::Event::Kind::kCallEnd:
        out += "\n";
        at_line_start_ = true;
        break;
    }
  }
  return out;
}

std::string AnswerPrinter::finish() {
  if (!thinking_) return "";
  thinking_ = false;
  return std::string(terminal_ ? kNormal : std::string_view("\n</think>"));
}

}  // namespace maestrale::app
