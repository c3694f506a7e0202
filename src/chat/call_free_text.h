// Grammars (GBNF) of text that a parser of calls leaves alone, where calls begin as any text may.
#pragma once

#include <string>

#include "chat/dialect.h"

namespace maestrale::chat {

// Text with none of the dialect's marks, spelled out, anywhere in it.
std::string unmarked_text(const Dialect& dialect);
// The same, as a whole answer that read_json_call() and read_python_calls() take for text: it does not begin
// like a call.
std::string call_free_answer(const Dialect& dialect);

}  // namespace maestrale::chat
