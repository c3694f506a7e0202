// What a model writes besides plain text: marks round its thoughts and a syntax for tool calls. One list; a
// model's row follows from its chat template and vocabulary.
#pragma once

#include <string_view>
#include <vector>

#include "chat/call_reader.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::chat {

struct ReasoningMarks {
  std::string_view open, close;
  bool anywhere = false;  // else only before any text
};

struct CallTrigger {
  std::string_view mark;
  MakeCallReader make = nullptr;  // nullptr: the mark alone, which means nothing
  bool anywhere = true;           // else only before any text
};

struct Dialect {
  std::string_view name;
  // The template or the vocabulary of a model that speaks it contains one of these.
  std::vector<std::string_view> signs;
  std::vector<ReasoningMarks> reasoning;
  std::vector<CallTrigger> calls;
  std::vector<std::string_view> inner_marks = {};  // control tokens inside calls
  bool channels = false;                           // harmony: every message has a header

  // Whether the parser needs to see a control token of this spelling.
  bool uses(std::string_view control_token) const;
};

const std::vector<Dialect>& dialects();
const Dialect* find_dialect(std::string_view name);
// The first row whose sign stands in the template; without a template, in the vocabulary.
const Dialect& dialect_of(std::string_view chat_template, const text::Tokenizer* tokenizer);

// Where in an answer the generated text begins: before anything, in the thoughts, in the text.
enum class TurnStart { kNew, kReasoning, kText };
// The prompt asks for a new answer; some templates open its thoughts.
TurnStart start_of_prompt(const Dialect& dialect, std::string_view prompt);
// `begun`: what there is already of the answer.
TurnStart start_inside(const Dialect& dialect, std::string_view begun);
// Of `begun` what follows the thoughts.
std::string_view text_begun(const Dialect& dialect, std::string_view begun);

}  // namespace maestrale::chat
