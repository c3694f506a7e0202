// What an answer may consist of, token by token: a shape for the text, tool calls, a limit on thoughts.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "chat/dialect.h"
#include "chat/grammars.h"
#include "chat/request.h"
#include "engine/constraint.h"

namespace maestrale::chat {

using MakeConstraint = std::function<std::unique_ptr<engine::TokenConstraint>()>;

struct ConstraintPlan {
  const text::Tokenizer* tokenizer = nullptr;  // outlives the constraints, as does the dialect
  const Dialect* dialect = nullptr;            // null: no thoughts, no calls
  Grammars* grammars = nullptr;
  TurnStart start = TurnStart::kNew;
  std::string begun = {};  // what there is already of the text
};

// From it each choice gets a constraint of its own. Empty where nothing is constrained. Errors name the
// field: kUnsupported for what cannot be kept.
Result<MakeConstraint> text_constraint(const ConstraintPlan& plan, const OutputShape& shape);
Result<MakeConstraint> chat_constraint(const ConstraintPlan& plan, const ChatRequest& request);

}  // namespace maestrale::chat
