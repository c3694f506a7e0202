// oneOf is kept as anyOf where no value can fit two of its alternatives. That is proved here, or refused.
#include <algorithm>

#include "grammar/schema_compiler.h"

namespace maestrale::grammar {
namespace {

constexpr int kDepthMax = 8;

const json::object* properties_of(const json::value& source) {
  const json::value* found = source.get_object().if_contains("properties");
  return found != nullptr && found->is_object() ? &found->get_object() : nullptr;
}

// The schemas that `facts` has for a declared member.
Goal declared(const Facts& facts, const std::string& name) {
  Goal goal;
  for (const json::value* source : facts.sources) {
    const json::object* properties = properties_of(*source);
    const json::value* own = properties != nullptr ? properties->if_contains(name) : nullptr;
    if (own != nullptr) add_to_goal(goal, *own);
  }
  return goal;
}

// Whether objects of `facts` cannot have a member `name`.
bool forbids(const Facts& facts, const std::string& name) {
  return std::any_of(facts.sources.begin(), facts.sources.end(), [&](const json::value* source) {
    const json::object* properties = properties_of(*source);
    const json::value* own = properties != nullptr ? properties->if_contains(name) : nullptr;
    if (own != nullptr) return own->is_bool() && !own->get_bool();
    const json::value* rest = source->get_object().if_contains("additionalProperties");
    return rest != nullptr && rest->is_bool() && !rest->get_bool() &&
           !source->get_object().contains("patternProperties");
  });
}

}  // namespace

Status SchemaCompiler::refuse_overlap(const Alternatives& group) {
  for (std::size_t i = 0; i < group.list->size(); ++i) {
    for (std::size_t j = i + 1; j < group.list->size(); ++j) {
      if (TRY(disjoint(goal_of((*group.list)[i]), goal_of((*group.list)[j]), 0))) continue;
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "'oneOf' is not supported for structured output where alternatives may overlap",
                   .where = schema_.index.location(*group.schema, "oneOf"),
                   .found = "alternatives " + std::to_string(i) + " and " + std::to_string(j),
                   .hint = "use anyOf, or give them a required member whose const or type differs"};
    }
  }
  return {};
}

Result<bool> SchemaCompiler::disjoint(const Goal& a, const Goal& b, int depth) const {
  if (depth > kDepthMax) return false;
  const Facts x = TRY(gatherer_.gather(a));
  const Facts y = TRY(gatherer_.gather(b));
  if (x.impossible || y.impossible || (x.types & y.types) == 0) return true;
  if (x.values) return disjoint_values(x, y);
  if (y.values) return disjoint_values(y, x);
  const unsigned both = x.types & y.types;
  if (both == Facts::kObject) return disjoint_objects(x, y, depth);
  const auto apart = [](const NumberRange& low, const NumberRange& high) {
    if (!low.high || !high.low) return false;
    const int order = low.high->value.compare(high.low->value);
    return order < 0 || (order == 0 && (low.high->exclusive || high.low->exclusive));
  };
  if (both == Facts::kNumber) return apart(x.range, y.range) || apart(y.range, x.range);
  if (both != Facts::kString) return false;
  return (x.max_length >= 0 && x.max_length < y.min_length) ||
         (y.max_length >= 0 && y.max_length < x.min_length);
}

Result<bool> SchemaCompiler::disjoint_values(const Facts& listed, const Facts& other) const {
  for (const json::value& value : *listed.values) {
    bool fits = true;
    for (const Facts* facts : {&listed, &other}) {
      for (const GoalPart& part : facts->all)
        fits = fits && TRY(ValidateRun(schema_).fits(*part.schema, value));
    }
    if (fits) return false;
  }
  return true;
}

// A member that one must have and the other cannot have, or has in a different way.
Result<bool> SchemaCompiler::disjoint_objects(const Facts& a, const Facts& b, int depth) const {
  for (const auto& [x, y] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    for (const std::string& name : x->required) {
      if (forbids(*y, name)) return true;
      const Goal mine = declared(*x, name), theirs = declared(*y, name);
      if (mine.empty() || theirs.empty()) continue;
      if (TRY(disjoint(mine, theirs, depth + 1))) return true;
    }
  }
  return false;
}

}  // namespace maestrale::grammar
