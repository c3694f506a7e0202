// What an answer may consist of, token by token: a shape for the text, forced tool calls, a limit on
// thoughts.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/dialect.h"
#include "chat/request.h"
#include "engine/service.h"

namespace maestrale::chat {

using MakeConstraint = std::function<std::unique_ptr<engine::TokenConstraint>()>;

// What to hold the answer to; made once for each request, then one constraint for each choice.
struct ConstraintPlan {
  const text::Tokenizer* tokenizer = nullptr;  // outlives the constraints
  const Dialect* dialect = nullptr;            // null: no thoughts, no calls
  bool in_reasoning = false;                   // the prompt has opened the thoughts
};

// Empty where nothing is constrained. Errors name the field: kUnsupported for what cannot be kept.
Result<MakeConstraint> text_constraint(const ConstraintPlan& plan, const OutputShape& shape);
Result<MakeConstraint> chat_constraint(const ConstraintPlan& plan, const ChatRequest& request);

}  // namespace maestrale::chat
