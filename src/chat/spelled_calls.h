// Gemma's calls, between marks of their own: strings stand between control tokens (Gemma 4, FunctionGemma),
// which are part of the grammar as they are spelled, or the calls are Python.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "chat/dialect.h"
#include "chat/grammars.h"
#include "chat/mark_watch.h"
#include "engine/constraint.h"

namespace maestrale::chat {

struct SpelledCalls {
  WatchedMark mark;                     // begins a call
  grammar::GrammarPtr one, many, rest;  // rest: of one, after the mark
  grammar::GrammarPtr text;             // text without marks; null where it is not to be told from calls
  grammar::TokenTablePtr table, spelled_table;
  const text::Tokenizer* tokenizer = nullptr;
};
using SpelledCallsPtr = std::shared_ptr<const SpelledCalls>;

bool has_spelled_calls(const Dialect& dialect);
// `tools` as ChatRequest has them.
Result<SpelledCallsPtr> plan_spelled_calls(const Dialect& dialect, const text::Tokenizer& tokenizer,
                                           Grammars& grammars, const json::array& tools);

// The answer is a call; where `several`, one or more.
std::unique_ptr<engine::TokenConstraint> make_spelled_calls(const SpelledCalls& plan, bool several);
// Text as it likes; every call is held to its schema from its mark on.
std::unique_ptr<engine::TokenConstraint> make_strict_spelled_calls(SpelledCallsPtr plan);
// Calls, or what `text` allows.
std::unique_ptr<engine::TokenConstraint> make_spelled_calls_or_text(
    const SpelledCalls& plan, std::unique_ptr<engine::TokenConstraint> text, bool several);

}  // namespace maestrale::chat
