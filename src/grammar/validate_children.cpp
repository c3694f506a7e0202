// Arrays and objects.
#include <algorithm>

#include "grammar/json_equal.h"
#include "grammar/validate_run.h"

namespace maestrale::grammar {
namespace {

// A count keyword's limit, or `fallback` where it is absent.
long double limit_of(const json::value* keyword, long double fallback) {
  return keyword != nullptr && keyword->is_number() ? number_of(*keyword) : fallback;
}

constexpr long double kNoLimit = 1e18L;

}  // namespace

bool ValidateRun::check_array(const json::value& schema, const json::array& value, Evaluated& evaluated) {
  const auto size = static_cast<long double>(value.size());
  if (size < limit_of(find(schema, "minItems"), 0)) return fail(schema, "minItems");
  if (size > limit_of(find(schema, "maxItems"), kNoLimit)) return fail(schema, "maxItems");
  std::size_t prefix = 0;
  if (const json::value* list = find(schema, "prefixItems"); list != nullptr && list->is_array()) {
    prefix = std::min(list->get_array().size(), value.size());
    for (std::size_t i = 0; i < prefix; ++i) {
      if (!child(list->get_array()[i], value[i], std::to_string(i))) return false;
      evaluated.items.insert(i);
    }
  }
  if (const json::value* items = find(schema, "items"); items != nullptr && !items->is_array()) {
    for (std::size_t i = prefix; i < value.size(); ++i) {
      if (!child(*items, value[i], std::to_string(i))) return false;
    }
    evaluated.all_items = true;
  }
  const json::value* unique = find(schema, "uniqueItems");
  if (unique != nullptr && unique->is_bool() && unique->get_bool()) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      work_ += static_cast<std::int64_t>(i);
      if (work_ > kWorkMax) return stop("validation takes too much work");
      for (std::size_t j = 0; j < i; ++j) {
        if (json_equal(value[i], value[j])) return fail(schema, "uniqueItems");
      }
    }
  }
  return check_contains(schema, value, evaluated);
}

bool ValidateRun::check_contains(const json::value& schema, const json::array& value, Evaluated& evaluated) {
  const json::value* contains = find(schema, "contains");
  if (contains == nullptr) return true;
  long double found = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    Evaluated inside;
    if (!quiet(*contains, value[i], inside)) continue;
    found += 1;
    evaluated.items.insert(i);
  }
  if (found < limit_of(find(schema, "minContains"), 1)) return fail(schema, "contains");
  return found <= limit_of(find(schema, "maxContains"), kNoLimit) || fail(schema, "maxContains");
}

bool ValidateRun::check_object(const json::value& schema, const json::object& value, Evaluated& evaluated) {
  const auto size = static_cast<long double>(value.size());
  if (size < limit_of(find(schema, "minProperties"), 0)) return fail(schema, "minProperties");
  if (size > limit_of(find(schema, "maxProperties"), kNoLimit)) return fail(schema, "maxProperties");
  if (const json::value* required = find(schema, "required"); required != nullptr && required->is_array()) {
    for (const json::value& name : required->get_array()) {
      if (name.is_string() && !value.contains(name.get_string())) return fail(schema, "required");
    }
  }
  if (const json::value* names = find(schema, "propertyNames")) {
    for (const auto& member : value) {
      if (!child(*names, json::value(member.key()), member.key())) return fail(schema, "propertyNames");
    }
  }
  return check_members(schema, value, evaluated);
}

bool ValidateRun::check_members(const json::value& schema, const json::object& value, Evaluated& evaluated) {
  const json::value* properties = find(schema, "properties");
  const json::value* patterns = find(schema, "patternProperties");
  const json::value* additional = find(schema, "additionalProperties");
  for (const auto& member : value) {
    const std::string_view name = member.key();
    bool known = false;
    const auto apply = [&](const json::value& part) {
      known = true;
      return child(part, member.value(), std::string(name));
    };
    const json::value* own = properties != nullptr && properties->is_object()
                                 ? properties->get_object().if_contains(name)
                                 : nullptr;
    if (own != nullptr && !apply(*own)) return false;
    if (patterns != nullptr && patterns->is_object()) {
      for (const auto& pattern : patterns->get_object()) {
        if (search(pattern.key(), name) && !apply(pattern.value())) return false;
        if (stopped_) return false;
      }
    }
    if (!known && additional != nullptr && !apply(*additional)) return false;
    if (known) evaluated.properties.insert(name);
  }
  return true;
}

bool ValidateRun::check_dependent(const json::value& schema, const json::value& value, Evaluated& evaluated) {
  const json::object& object = value.get_object();
  if (const json::value* lists = find(schema, "dependentRequired"); lists != nullptr && lists->is_object()) {
    for (const auto& entry : lists->get_object()) {
      if (!object.contains(entry.key()) || !entry.value().is_array()) continue;
      for (const json::value& name : entry.value().get_array()) {
        if (name.is_string() && !object.contains(name.get_string())) return fail(schema, "dependentRequired");
      }
    }
  }
  const json::value* schemas = find(schema, "dependentSchemas");
  if (schemas == nullptr || !schemas->is_object()) return true;
  for (const auto& entry : schemas->get_object()) {
    if (object.contains(entry.key()) && !check(entry.value(), value, evaluated)) return false;
  }
  return true;
}

}  // namespace maestrale::grammar
