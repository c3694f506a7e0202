// Calls that begin as any text may: Llama's. They and the text are followed side by side.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/dialect.h"
#include "chat/grammars.h"
#include "chat/request.h"
#include "engine/constraint.h"

namespace maestrale::chat {

struct PlainCalls {
  std::vector<grammar::GrammarPtr> one, many;  // one call, or a row of them, in each syntax of the dialect
  std::optional<text::TokenId> mark;           // may stand before calls, and begins them in a text
  bool many_marked = false;                    // several may follow the mark
  grammar::GrammarPtr answer;                  // text that the parser reads no call in, whole
  grammar::GrammarPtr text;                    // the same, of an answer that has begun already
  grammar::TokenTablePtr table;
};

bool has_plain_calls(const Dialect& dialect);
// `tools` as ChatRequest has them.
Result<std::shared_ptr<const PlainCalls>> plan_plain_calls(const Dialect& dialect,
                                                           const text::Tokenizer& tokenizer,
                                                           Grammars& grammars, const json::array& tools);

using PlainCallsPtr = std::shared_ptr<const PlainCalls>;
// The answer is a call; where `several`, one or more.
std::unique_ptr<engine::TokenConstraint> make_plain_calls(const PlainCalls& plan, bool several);
// Calls, or text that the parser reads no call in. `begun`: the answer has begun with text.
std::unique_ptr<engine::TokenConstraint> make_strict_plain_calls(const PlainCallsPtr& plan, bool several,
                                                                 bool begun);
// Calls, or what `text` (of no_plain_call()) allows.
std::unique_ptr<engine::TokenConstraint> make_plain_calls_or_text(
    const PlainCalls& plan, std::unique_ptr<engine::TokenConstraint> text, bool several);

// What of a shape the parser cannot take for calls; kUnsupported where that is nothing, or not to be known.
Result<OutputShape> no_plain_call(const Dialect& dialect, Grammars& grammars, const OutputShape& shape);

}  // namespace maestrale::chat
