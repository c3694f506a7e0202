// Reads a JSON request field by field, with ranges. What nobody read is refused by name at the end, so no
// field is ever ignored. Errors are kUsage or kUnsupported; `where` is the field's path, as "tools[0].type".
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::serve {

// Fields that are absent or null count as not given.
class Fields {
 public:
  // `path`: what stands before the names in errors, "" or "tools[0].".
  Fields(const json::object& object, std::string path) : object_(&object), path_(std::move(path)) {}
  // Of a value that must be an object; `name` is its own path.
  static Result<Fields> of(const json::value& value, const std::string& name);

  Result<std::optional<double>> number(std::string_view key, double low, double high);
  Result<std::optional<std::int64_t>> integer(std::string_view key, std::int64_t low, std::int64_t high);
  Result<std::optional<bool>> boolean(std::string_view key);
  Result<std::optional<std::string>> string(std::string_view key);
  Result<std::string> required_string(std::string_view key);
  Result<const json::array*> array(std::string_view key);    // null where not given
  Result<const json::object*> object(std::string_view key);  // null where not given
  const json::value* value(std::string_view key);            // null where not given
  bool has(std::string_view key) const;

  // A field whose other values are not supported: only these (strings, numbers, booleans) pass.
  Status only(std::string_view key, std::initializer_list<json::value> allowed, std::string why);
  Status refuse(std::string_view key, std::string why) { return only(key, {}, std::move(why)); }
  // A field that may hold anything of use to the client alone.
  void skip(std::string_view key) { seen_.emplace(key); }
  // Refuses every field that was not asked for.
  Status done() const;

  std::string name(std::string_view key) const { return path_ + std::string(key); }
  Error wrong(std::string_view key, std::string expected) const;
  Error missing(std::string_view key) const;

 private:
  const json::object* object_;
  std::string path_;
  std::set<std::string, std::less<>> seen_;
};

// Above every number of things that a request can mean.
constexpr std::int64_t kMany = std::numeric_limits<std::int32_t>::max();

// Nothing where the value cannot be the id of a token.
std::optional<text::TokenId> token_id_of(const json::value& value);

// The elements of the field `name`; at least one.
Result<std::vector<text::TokenId>> token_ids_of(const json::array& list, const std::string& name);

std::string kind_of(const json::value& value);
Error bad_field(std::string field, std::string what, std::string expected = {}, std::string found = {});
Error unsupported_field(std::string field, std::string why);
std::string element(const std::string& list, std::size_t index);  // "messages[3]"

}  // namespace maestrale::serve
