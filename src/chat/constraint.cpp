#include "chat/constraint.h"

namespace maestrale::chat {
namespace {

Error unsupported(std::string what, std::string where) {
  return Error{.kind = ErrorKind::kUnsupported, .what = std::move(what), .where = std::move(where)};
}

}  // namespace

Result<MakeConstraint> text_constraint(const ConstraintPlan& plan, const OutputShape& shape) {
  (void)plan;
  if (shape.kind == OutputShape::Kind::kFree) return MakeConstraint();
  return unsupported("structured output is not supported", shape.where);
}

Result<MakeConstraint> chat_constraint(const ConstraintPlan& plan, const ChatRequest& request) {
  if (request.tool_choice.kind == ToolChoice::Kind::kRequired ||
      request.tool_choice.kind == ToolChoice::Kind::kNamed)
    return unsupported("forcing a tool call is not supported", "tool_choice");
  if (request.reasoning_budget >= 0 && plan.dialect != nullptr && !plan.dialect->reasoning.empty())
    return unsupported("a budget for thoughts is not supported", "thinking");
  return text_constraint(plan, request.common.shape);
}

}  // namespace maestrale::chat
