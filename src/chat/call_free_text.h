// Grammars (GBNF) of text that a parser of calls leaves alone, where calls begin as any text may.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "chat/dialect.h"

namespace maestrale::chat {

// Text with none of the marks (one or more), spelled out, anywhere in it. The first characters of marks, '<'
// or '[', stand nowhere else in them.
std::string unmarked_text(const std::vector<std::string_view>& marks);
// The marks that begin thoughts, and calls anywhere in a text.
std::vector<std::string_view> opening_marks(const Dialect& dialect);
// Text without opening marks, as a whole answer that read_json_call() and read_python_calls() take for text:
// it does not begin like a call.
std::string call_free_answer(const Dialect& dialect);

}  // namespace maestrale::chat
