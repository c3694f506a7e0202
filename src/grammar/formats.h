// JSON Schema formats as regular expressions: what they match is valid; a few say less than their standard.
#pragma once

#include <string>
#include <string_view>

namespace maestrale::grammar {

enum class FormatSupport { kKnown, kRefused, kAnnotation };

// kKnown: `expression` describes it. kRefused: a format of the standard without an exact expression here.
// kAnnotation: not a format of the standard, so it says nothing.
FormatSupport find_format(std::string_view name, std::string& expression);

}  // namespace maestrale::grammar
