// JSON Schema's equality and lengths: numbers by value, objects whatever their order, strings by code points.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/json.h"

namespace maestrale::grammar {

bool json_equal(const json::value& a, const json::value& b);
std::int64_t code_point_count(std::string_view utf8);
// A number without fraction, however it is written.
bool is_integer(const json::value& value);
long double number_of(const json::value& value);  // of a number

}  // namespace maestrale::grammar
