#include "serve/fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <limits>

namespace maestrale::serve {
namespace {

constexpr std::size_t kShown = 80;

std::string shown(const json::value& value) {
  std::string text = json::serialize(value);
  if (text.size() > kShown) text = kind_of(value);
  return text;
}

std::string range(double low, double high) {
  if (high >= 9e15) return fmt::format("{} or more", low);
  return fmt::format("{} to {}", low, high);
}

}  // namespace

std::optional<text::TokenId> token_id_of(const json::value& value) {
  if (!value.is_int64() || value.get_int64() < 0 || value.get_int64() > kMany) return std::nullopt;
  return static_cast<text::TokenId>(value.get_int64());
}

Result<std::vector<text::TokenId>> token_ids_of(const json::array& list, const std::string& name) {
  std::vector<text::TokenId> tokens;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto id = token_id_of(list[i]);
    if (!id) return bad_field(element(name, i), "unusable token", "a token id", shown(list[i]));
    tokens.push_back(*id);
  }
  if (tokens.empty()) return bad_field(name, "there is no token in it", "at least one token id");
  return tokens;
}

std::string kind_of(const json::value& value) {
  if (value.is_null()) return "null";
  if (value.is_bool()) return "a boolean";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  return value.is_array() ? "an array" : "an object";
}

Error bad_field(std::string field, std::string what, std::string expected, std::string found) {
  return Error{.kind = ErrorKind::kUsage,
               .what = std::move(what),
               .where = std::move(field),
               .expected = std::move(expected),
               .found = std::move(found)};
}

Error unsupported_field(std::string field, std::string why) {
  return Error{.kind = ErrorKind::kUnsupported, .what = std::move(why), .where = std::move(field)};
}

std::string element(const std::string& list, std::size_t index) { return fmt::format("{}[{}]", list, index); }

Result<Fields> Fields::of(const json::value& value, const std::string& name) {
  const json::object* object = value.if_object();
  if (object == nullptr) return bad_field(name, "unusable value", "an object", kind_of(value));
  return Fields(*object, name.empty() ? "" : name + ".");
}

bool Fields::has(std::string_view key) const {
  const json::value* value = object_->if_contains(key);
  return value != nullptr && !value->is_null();
}

const json::value* Fields::value(std::string_view key) {
  seen_.emplace(key);
  return has(key) ? object_->if_contains(key) : nullptr;
}

Error Fields::missing(std::string_view key) const {
  return bad_field(name(key), fmt::format("the field '{}' is missing", name(key)));
}

Error Fields::wrong(std::string_view key, std::string expected) const {
  const json::value* value = object_->if_contains(key);
  return bad_field(name(key), fmt::format("unusable value of '{}'", name(key)), std::move(expected),
                   value == nullptr ? "nothing" : shown(*value));
}

Result<std::optional<double>> Fields::number(std::string_view key, double low, double high) {
  const json::value* found = value(key);
  if (found == nullptr) return std::optional<double>();
  if (!found->is_number()) return wrong(key, "a number");
  const double number = found->to_number<double>();
  if (!(number >= low && number <= high)) return wrong(key, "a number, " + range(low, high));
  return std::optional<double>(number);
}

Result<std::optional<std::int64_t>> Fields::integer(std::string_view key, std::int64_t low,
                                                    std::int64_t high) {
  const json::value* found = value(key);
  if (found == nullptr) return std::optional<std::int64_t>();
  const std::string expected =
      "a whole number, " + range(static_cast<double>(low), static_cast<double>(high));
  std::int64_t number = 0;
  if (found->is_int64()) {
    number = found->get_int64();
  } else if (found->is_double() && std::nearbyint(found->get_double()) == found->get_double() &&
             std::abs(found->get_double()) < 9e15) {
    number = static_cast<std::int64_t>(found->get_double());
  } else {
    return wrong(key, expected);
  }
  if (number < low || number > high) return wrong(key, expected);
  return std::optional<std::int64_t>(number);
}

Result<std::optional<bool>> Fields::boolean(std::string_view key) {
  const json::value* found = value(key);
  if (found == nullptr) return std::optional<bool>();
  if (!found->is_bool()) return wrong(key, "true or false");
  return std::optional<bool>(found->get_bool());
}

Result<std::optional<std::string>> Fields::string(std::string_view key) {
  const json::value* found = value(key);
  if (found == nullptr) return std::optional<std::string>();
  if (!found->is_string()) return wrong(key, "a string");
  return std::optional<std::string>(std::string(found->get_string()));
}

Result<std::string> Fields::required_string(std::string_view key) {
  auto text = TRY(string(key));
  if (!text) return missing(key);
  return *std::move(text);
}

Result<const json::array*> Fields::array(std::string_view key) {
  const json::value* found = value(key);
  if (found == nullptr) return static_cast<const json::array*>(nullptr);
  if (!found->is_array()) return wrong(key, "an array");
  return &found->get_array();
}

Result<const json::object*> Fields::object(std::string_view key) {
  const json::value* found = value(key);
  if (found == nullptr) return static_cast<const json::object*>(nullptr);
  if (!found->is_object()) return wrong(key, "an object");
  return &found->get_object();
}

Status Fields::only(std::string_view key, std::initializer_list<json::value> allowed, std::string why) {
  const json::value* found = value(key);
  if (found == nullptr) return {};
  for (const json::value& good : allowed) {
    if (*found == good) return {};
  }
  return unsupported_field(name(key), fmt::format("'{}' is not supported: {}", name(key), why));
}

Status Fields::done() const {
  for (const auto& [key, unused] : *object_) {
    if (seen_.find(std::string_view(key)) != seen_.end()) continue;
    return bad_field(name(key), fmt::format("unknown field '{}'", name(key)));
  }
  return {};
}

}  // namespace maestrale::serve
