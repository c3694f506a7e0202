// The query of a request's target, read like fields: what nobody asked for is refused by name at the end.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace maestrale::serve {

class Query {
 public:
  // "a=1&b=two%20words"; kUsage: malformed, or a name twice.
  static Result<Query> of(std::string_view query);

  // Each takes the parameter away.
  std::optional<std::string> text(std::string_view name);
  Result<std::optional<std::int64_t>> integer(std::string_view name, std::int64_t low, std::int64_t high);
  // A parameter whose other values are not supported.
  Status only(std::string_view name, std::string_view allowed, const std::string& why);
  Status done() const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace maestrale::serve
