#include "serve/query.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "net/http.h"
#include "serve/fields.h"

namespace maestrale::serve {
namespace {

std::optional<std::string> decoded(std::string_view text) {
  std::string plain(text);
  std::replace(plain.begin(), plain.end(), '+', ' ');
  return net::percent_decode(plain);
}

}  // namespace

Result<Query> Query::of(std::string_view query) {
  Query out;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto name = decoded(pair.substr(0, equals));
    const auto value = decoded(pair.substr(std::min(equals + 1, pair.size())));
    if (!name || !value) return bad_field("query", "a malformed query", "name=value, percent-encoded");
    if (!out.values_.emplace(*name, *value).second)
      return bad_field(*name, "the parameter stands there twice");
  }
  return out;
}

std::optional<std::string> Query::text(std::string_view name) {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::nullopt;
  std::string value = std::move(found->second);
  values_.erase(found);
  return value;
}

Result<std::optional<std::int64_t>> Query::integer(std::string_view name, std::int64_t low,
                                                   std::int64_t high) {
  const auto value = text(name);
  if (!value) return std::optional<std::int64_t>();
  std::int64_t number = 0;
  const char* const end = value->data() + value->size();
  const auto [stop, code] = std::from_chars(value->data(), end, number);
  if (code != std::errc() || stop != end || number < low || number > high)
    return bad_field(std::string(name), fmt::format("unusable value of '{}'", name),
                     fmt::format("a whole number, {} to {}", low, high), *value);
  return std::optional<std::int64_t>(number);
}

Status Query::only(std::string_view name, std::string_view allowed, const std::string& why) {
  const auto value = text(name);
  if (!value || *value == allowed) return {};
  return unsupported_field(std::string(name), fmt::format("'{}' is not supported: {}", name, why));
}

Status Query::done() const {
  if (values_.empty()) return {};
  const std::string& name = values_.begin()->first;
  return bad_field(name, fmt::format("unknown parameter '{}'", name));
}

}  // namespace maestrale::serve
