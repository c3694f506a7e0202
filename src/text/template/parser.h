// Tokens to a syntax tree. Nesting is bounded, so neither parsing nor rendering can overflow the stack.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/template/ast.h"

namespace maestrale::text::jinja {

inline constexpr int kMaxNesting = 150;    // brackets and blocks inside each other
inline constexpr int kMaxTreeDepth = 600;  // operators of one chain count too

Result<std::unique_ptr<const Program>> parse_program(std::string_view source, const std::string& where);

}  // namespace maestrale::text::jinja
