// Boost.JSON glue: parsing with limits, typed access with errors that name the field.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace maestrale {

namespace json = boost::json;

// Strict RFC 8259 parse of one document. `where` names the source in errors. Nesting beyond max_depth is an
// error, never a stack overflow.
Result<json::value> parse_json(std::string_view text, const std::string& where, std::size_t max_depth = 64);

// Typed views of a JSON object; `where` (file) and `key` appear in every error.
class JsonFields {
 public:
  JsonFields(const json::object& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool has(std::string_view key) const;  // present and not null
  const json::value* find(std::string_view key) const;
  Result<std::int64_t> integer(std::string_view key) const;
  Result<std::int64_t> integer_or(std::string_view key, std::int64_t fallback) const;
  Result<double> number(std::string_view key) const;
  Result<double> number_or(std::string_view key, double fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string_view fallback) const;
  Result<const json::object*> object(std::string_view key) const;
  Result<const json::array*> array(std::string_view key) const;
  const std::string& where() const { return where_; }

 private:
  Error wrong(std::string_view key, std::string_view expected) const;
  const json::object& object_;
  std::string where_;
};

}  // namespace maestrale
