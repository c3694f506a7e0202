// Tool calls held to their schemas, in the syntax that the model's dialect has for them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/dialect.h"
#include "chat/grammars.h"
#include "chat/mark_watch.h"
#include "chat/token_mask.h"
#include "engine/constraint.h"

namespace maestrale::chat {

// One request's calls: literal tokens, a name, literal tokens, the arguments of that name, literal tokens.
struct CallPlan {
  WatchedMark mark;                                // begins a call
  std::vector<text::TokenId> before, before_rest;  // whole, and what follows the mark
  std::vector<text::TokenId> between, after;
  std::vector<text::TokenId> next;  // as `before`, of a call that follows another; empty: none follows
  std::vector<text::TokenId> ends;  // the tokenizer's
  grammar::GrammarPtr text;         // without a mark
  grammar::GrammarPtr names;
  std::vector<std::pair<std::string, grammar::GrammarPtr>> arguments;
  grammar::TokenTablePtr table;
  const text::Tokenizer* tokenizer = nullptr;
};

// `tools` as ChatRequest has them. kUnsupported where calls of this dialect cannot be held.
Result<std::shared_ptr<const CallPlan>> plan_calls(const Dialect& dialect, const text::Tokenizer& tokenizer,
                                                   Grammars& grammars, const json::array& tools);

// The answer is one call.
std::unique_ptr<engine::TokenConstraint> make_forced_call(std::shared_ptr<const CallPlan> plan);
// Calls, several where `parallel` and the syntax allows it, or what `text` allows: the first token decides,
// which must not be one of both (begins_as_call()).
std::unique_ptr<engine::TokenConstraint> make_calls_or_text(std::shared_ptr<const CallPlan> plan,
                                                            std::unique_ptr<engine::TokenConstraint> text,
                                                            bool parallel);
// Whether what `text` allows can begin with the token that begins a call.
bool begins_as_call(const CallPlan& plan, engine::TokenConstraint& text);
// Text as it likes; every call is held to its schema from its mark on.
std::unique_ptr<engine::TokenConstraint> make_strict_calls(std::shared_ptr<const CallPlan> plan);

}  // namespace maestrale::chat
