// ECMA-262 regular expressions (with the `u` flag, as JSON Schema uses them), without what no automaton can
// keep: look-around, back references and word boundaries are refused by name.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "grammar/char_nfa.h"

namespace maestrale::grammar {

enum class RegexUse {
  kWhole,   // the whole text matches
  kSearch,  // some part of it does, as JSON Schema's `pattern`
};

// Errors: kInvalidInput (not an expression; with the place), kUnsupported, kResource (too large).
Result<CharNfa> parse_regex(std::string_view pattern, RegexUse use, const std::string& where);

// "Letter" -> "L": the short form of a general category's long name; other names as they are.
std::string_view short_property_name(std::string_view name);

}  // namespace maestrale::grammar
