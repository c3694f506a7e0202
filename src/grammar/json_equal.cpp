#include "grammar/json_equal.h"

#include <algorithm>
#include <cmath>

namespace maestrale::grammar {

bool json_equal(const json::value& a, const json::value& b) {
  if (a.is_number() && b.is_number()) return number_of(a) == number_of(b);
  if (a.kind() != b.kind()) return false;
  if (a.is_array()) {
    const auto& x = a.get_array();
    const auto& y = b.get_array();
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), json_equal);
  }
  if (!a.is_object()) return a == b;
  const auto& x = a.get_object();
  const auto& y = b.get_object();
  return x.size() == y.size() && std::all_of(x.begin(), x.end(), [&](const auto& member) {
           const json::value* other = y.if_contains(member.key());
           return other != nullptr && json_equal(member.value(), *other);
         });
}

std::int64_t code_point_count(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

bool is_integer(const json::value& value) {
  return value.is_int64() || value.is_uint64() ||
         (value.is_double() && std::trunc(value.get_double()) == value.get_double());
}

long double number_of(const json::value& value) {
  if (value.is_int64()) return static_cast<long double>(value.get_int64());
  if (value.is_uint64()) return static_cast<long double>(value.get_uint64());
  return static_cast<long double>(value.get_double());
}

}  // namespace maestrale::grammar
