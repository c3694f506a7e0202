#include "base/json.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>
#include <cmath>
#include <limits>

namespace maestrale {
namespace {

std::string kind_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
      return "an integer";
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "a value";
}

}  // namespace

Result<json::value> parse_json(std::string_view text, const std::string& where, std::size_t max_depth) {
  json::parse_options options;
  options.max_depth = max_depth;
  json::stream_parser parser({}, options);
  boost::system::error_code code;
  const std::size_t read = parser.write(text.data(), text.size(), code);
  if (!code) parser.finish(code);
  if (code) {
    return Error{.what = "not valid JSON: " + code.message(),
                 .where = where + " at byte " + std::to_string(read)};
  }
  return parser.release();
}

bool JsonFields::has(std::string_view key) const {
  const json::value* value = find(key);
  return value != nullptr && !value->is_null();
}

const json::value* JsonFields::find(std::string_view key) const { return object_.if_contains(key); }

Error JsonFields::wrong(std::string_view key, std::string_view expected) const {
  const json::value* value = find(key);
  return Error{
      .what = "field '" + std::string(key) + "' is " + (value == nullptr ? "missing" : "of the wrong kind"),
      .where = where_,
      .expected = std::string(expected),
      .found = value == nullptr ? "nothing" : kind_name(*value)};
}

Result<std::int64_t> JsonFields::integer(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return wrong(key, "an integer");
  if (value->is_int64()) return value->get_int64();
  if (value->is_uint64() && value->get_uint64() <= std::numeric_limits<std::int64_t>::max()) {
    return static_cast<std::int64_t>(value->get_uint64());
  }
  if (value->is_double() && std::nearbyint(value->get_double()) == value->get_double() &&
      std::abs(value->get_double()) < 9e15) {
    return static_cast<std::int64_t>(value->get_double());
  }
  return wrong(key, "an integer");
}

Result<std::int64_t> JsonFields::integer_or(std::string_view key, std::int64_t fallback) const {
  return has(key) ? integer(key) : Result<std::int64_t>(fallback);
}

Result<double> JsonFields::number(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return wrong(key, "a number");
  if (value->is_double()) return value->get_double();
  if (value->is_int64()) return static_cast<double>(value->get_int64());
  if (value->is_uint64()) return static_cast<double>(value->get_uint64());
  return wrong(key, "a number");
}

Result<double> JsonFields::number_or(std::string_view key, double fallback) const {
  return has(key) ? number(key) : Result<double>(fallback);
}

Result<bool> JsonFields::boolean_or(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!find(key)->is_bool()) return wrong(key, "true or false");
  return find(key)->get_bool();
}

Result<std::string> JsonFields::string(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr || !value->is_string()) return wrong(key, "a string");
  return std::string(value->get_string());
}

Result<std::string> JsonFields::string_or(std::string_view key, std::string_view fallback) const {
  return has(key) ? string(key) : Result<std::string>(std::string(fallback));
}

Result<const json::object*> JsonFields::object(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr || !value->is_object()) return wrong(key, "an object");
  return &value->get_object();
}

Result<const json::array*> JsonFields::array(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr || !value->is_array()) return wrong(key, "an array");
  return &value->get_array();
}

}  // namespace maestrale
