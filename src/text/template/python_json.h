// JSON as Python's json module writes it by default, without ASCII escapes: ", " and ": " between things,
// floats as repr() has them. The formats of several models are defined by it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace maestrale::text {

// json.dumps(value, ensure_ascii=False)
std::string python_json(const json::value& value);
std::string python_json_string(std::string_view text);
// json.dumps(json.loads(text), ensure_ascii=False), or nothing where `text` is not JSON. Integers keep all
// their digits; of equal keys the last one's value counts.
std::optional<std::string> python_json_again(std::string_view text);

}  // namespace maestrale::text
