// Constraints made of others.
#pragma once

#include <memory>
#include <vector>

#include "engine/constraint.h"
#include "grammar/grammar.h"

namespace maestrale::chat {

// The texts of a grammar.
std::unique_ptr<engine::TokenConstraint> matching(grammar::Matcher matcher);
// What any of `parts` allows: all are followed, and one that does not allow a token is dropped.
std::unique_ptr<engine::TokenConstraint> any_of(std::vector<std::unique_ptr<engine::TokenConstraint>> parts);
// What both allow. A token that only one of them allows leaves neither of use.
std::unique_ptr<engine::TokenConstraint> both_of(std::unique_ptr<engine::TokenConstraint> one,
                                                 std::unique_ptr<engine::TokenConstraint> other);

}  // namespace maestrale::chat
