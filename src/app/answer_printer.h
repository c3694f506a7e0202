// Shows a model's turn as it comes: thoughts dimmed, calls on lines of their own.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "chat/event.h"

namespace maestrale::app {

class AnswerPrinter {
 public:
  // `terminal`: colours may be used; without them thoughts stand between <think> and </think>.
  explicit AnswerPrinter(bool terminal) : terminal_(terminal) {}

  // What to write for these events.
  std::string show(const std::vector<chat::Event>& events);
  // What is left open, at the end.
  std::string finish();

 private:
  void leave_thoughts(std::string& out);

  bool terminal_;
  bool thinking_ = false;
  bool at_line_start_ = true;
};

}  // namespace maestrale::app
