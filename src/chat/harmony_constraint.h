// gpt-oss: an answer is a row of messages, each with a channel. Thoughts go to analysis, text to final, calls
// to commentary; what each may hold follows from the request.
#pragma once

#include "chat/constraint.h"

namespace maestrale::chat {

// As chat_constraint(), for a dialect with channels.
Result<MakeConstraint> harmony_constraint(const ConstraintPlan& plan, const ChatRequest& request);

}  // namespace maestrale::chat
