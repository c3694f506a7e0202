#include "grammar/schema_facts.h"

#include <algorithm>
#include <map>

#include "grammar/json_equal.h"

namespace maestrale::grammar {
namespace {

bool is_true(const json::value* value) { return value != nullptr && value->is_bool() && value->get_bool(); }

// Ways to say nothing with a keyword that is refused otherwise.
bool says_nothing(std::string_view keyword, const json::object& schema, const json::value& value) {
  if (keyword == "not") return value.is_bool() && !value.get_bool();
  if (keyword == "if") return !schema.contains("then") && !schema.contains("else");
  if (keyword == "uniqueItems" || keyword == "nullable") return !is_true(&value);
  if (keyword == "unevaluatedItems" || keyword == "unevaluatedProperties") return is_true(&value);
  if (keyword == "dependentRequired" || keyword == "dependentSchemas" || keyword == "dependencies") {
    return value.is_object() && value.get_object().empty();
  }
  if (keyword == "contains") {
    const json::value* least = schema.if_contains("minContains");
    return least != nullptr && least->is_number() && number_of(*least) == 0 &&
           !schema.contains("maxContains");
  }
  if (keyword == "items") return !value.is_array();
  if (keyword == "multipleOf") {
    if (!value.is_number() || number_of(value) != 1) return false;
    const json::value* type = schema.if_contains("type");
    return type != nullptr && type->is_string() && type->get_string() == "integer";
  }
  return false;
}

struct Refusal {
  std::string_view keyword, why;
};
constexpr Refusal kRefusals[] = {
    {"not", "what must not match cannot be kept in general"},
    {"if", "conditions are not expressed"},
    {"dependentRequired", "a member cannot be made to depend on another"},
    {"dependentSchemas", "a member cannot be made to depend on another"},
    {"dependencies", "draft 7's dependencies are not part of draft 2020-12"},
    {"contains", "a count of items of some kind is not expressed"},
    {"uniqueItems", "items cannot be compared with one another"},
    {"unevaluatedItems", "what other keywords looked at is not followed"},
    {"unevaluatedProperties", "what other keywords looked at is not followed"},
    {"multipleOf", "multiples are not expressed"},
    {"$dynamicRef", "only $ref is followed"},
    {"$recursiveRef", "only $ref is followed"},
    {"additionalItems", "draft 7's additionalItems is prefixItems with items in draft 2020-12"},
    {"items", "a list is prefixItems in draft 2020-12"},
    {"nullable", "a type `null` says the same in draft 2020-12"},
};

}  // namespace

void add_to_goal(Goal& goal, const json::value& schema, std::uint8_t chosen) {
  const auto at =
      std::lower_bound(goal.begin(), goal.end(), &schema,
                       [](const GoalPart& part, const json::value* value) { return part.schema < value; });
  if (at != goal.end() && at->schema == &schema) {
    at->chosen = static_cast<std::uint8_t>(at->chosen | chosen);
  } else {
    goal.insert(at, {&schema, chosen});
  }
}

Goal goal_of(const json::value& schema) { return {{&schema, 0}}; }

Error FactGatherer::wrong(const json::value& schema, std::string_view keyword,
                          const std::string& expected) const {
  return {.what = "'" + std::string(keyword) + "' is not as JSON Schema has it",
          .where = index_.location(schema, keyword),
          .expected = expected};
}

Error FactGatherer::refused(const json::value& schema, std::string_view keyword,
                            const std::string& why) const {
  return {.kind = ErrorKind::kUnsupported,
          .what = "'" + std::string(keyword) + "' is not supported for structured output: " + why,
          .where = index_.location(schema, keyword)};
}

Result<std::vector<const json::value*>> FactGatherer::in_place(const json::value& schema) const {
  std::vector<const json::value*> out;
  if (const json::value* reference = schema.get_object().if_contains("$ref")) {
    if (!reference->is_string()) return wrong(schema, "$ref", "a text");
    const json::value* target = index_.resolve(schema, reference->get_string());
    if (target == nullptr) {
      Error error = refused(schema, "$ref", "it leads out of the document, or nowhere");
      error.found = std::string(reference->get_string());
      return error;
    }
    out.push_back(target);
  }
  const json::value* all = schema.get_object().if_contains("allOf");
  if (all == nullptr) return out;
  if (!all->is_array() || all->get_array().empty()) return wrong(schema, "allOf", "a list of schemas");
  for (const json::value& part : all->get_array()) out.push_back(&part);
  return out;
}

Status FactGatherer::refuse_cycles() const {
  enum class Mark { kOpen, kDone };
  struct Frame {
    const json::value* schema;
    std::vector<const json::value*> below;
  };
  std::map<const json::value*, Mark> marks;
  const auto below = [&](const json::value& schema) -> Result<std::vector<const json::value*>> {
    if (!schema.is_object()) return std::vector<const json::value*>{};
    auto out = TRY(in_place(schema));
    for (const char* keyword : {"anyOf", "oneOf"}) {
      const json::value* list = schema.get_object().if_contains(keyword);
      if (list == nullptr || !list->is_array()) continue;
      for (const json::value& part : list->get_array()) out.push_back(&part);
    }
    return out;
  };
  for (const json::value* first : index_.schemas()) {
    if (marks.contains(first)) continue;
    std::vector<Frame> stack;
    stack.push_back({first, TRY(below(*first))});
    marks[first] = Mark::kOpen;
    while (!stack.empty()) {
      if (stack.back().below.empty()) {
        marks[stack.back().schema] = Mark::kDone;
        stack.pop_back();
        continue;
      }
      const json::value* next = stack.back().below.back();
      stack.back().below.pop_back();
      const auto known = marks.find(next);
      if (known == marks.end()) {
        marks[next] = Mark::kOpen;
        stack.push_back({next, TRY(below(*next))});
      } else if (known->second == Mark::kOpen) {
        return Error{.what = "a schema refers to itself without an array or an object in between",
                     .where = index_.location(*next)};
      }
    }
  }
  return {};
}

Result<Facts> FactGatherer::gather(const Goal& goal) const {
  Facts facts;
  facts.all = goal;
  std::vector<GoalPart> queue(goal.begin(), goal.end());
  for (std::size_t i = 0; i < queue.size(); ++i) {
    const json::value& schema = *queue[i].schema;
    if (schema.is_bool()) {
      facts.impossible = facts.impossible || !schema.get_bool();
      continue;
    }
    if (!schema.is_object()) return wrong(schema, "", "an object, true or false");
    for (const json::value* part : TRY(in_place(schema))) {
      const auto same = [&](const GoalPart& known) { return known.schema == part; };
      if (std::any_of(queue.begin(), queue.end(), same)) continue;
      queue.push_back({part, 0});
      add_to_goal(facts.all, *part);
    }
    TRY(add(schema, queue[i].chosen, facts));
  }
  return facts;
}

Status FactGatherer::add(const json::value& schema, std::uint8_t chosen, Facts& facts) const {
  const json::object& object = schema.get_object();
  facts.sources.push_back(&schema);
  TRY(add_values(schema, facts));
  TRY(add_types(schema, facts));
  TRY(refuse_keywords(schema));
  TRY(add_numbers(schema, facts));
  TRY(add_counts(schema, facts));
  TRY(add_required(schema, facts));
  for (const std::uint8_t which : {std::uint8_t{1}, std::uint8_t{2}}) {
    Alternatives group{&schema, which, nullptr};
    const json::value* list = object.if_contains(group.keyword());
    if (list == nullptr || (chosen & which) != 0) continue;
    if (!list->is_array() || list->get_array().empty())
      return wrong(schema, group.keyword(), "a list of schemas");
    group.list = &list->get_array();
    facts.alternatives.push_back(group);
  }
  return {};
}

Status FactGatherer::refuse_keywords(const json::value& schema) const {
  const json::object& object = schema.get_object();
  for (const Refusal& refusal : kRefusals) {
    const json::value* value = object.if_contains(refusal.keyword);
    if (value == nullptr || says_nothing(refusal.keyword, object, *value)) continue;
    return refused(schema, refusal.keyword, std::string(refusal.why));
  }
  return {};
}

Status FactGatherer::add_types(const json::value& schema, Facts& facts) const {
  const json::value* type = schema.get_object().if_contains("type");
  if (type == nullptr) return {};
  struct Name {
    std::string_view name;
    unsigned type;
  };
  constexpr Name kNames[] = {{"null", Facts::kNull},     {"boolean", Facts::kBoolean},
                             {"number", Facts::kNumber}, {"integer", Facts::kNumber},
                             {"string", Facts::kString}, {"array", Facts::kArray},
                             {"object", Facts::kObject}};
  unsigned types = 0;
  bool number = false, integer = false;
  const auto add_name = [&](const json::value& value) {
    const std::string_view text = value.is_string() ? std::string_view(value.get_string()) : "";
    const auto* known =
        std::find_if(std::begin(kNames), std::end(kNames), [&](const Name& n) { return n.name == text; });
    if (known == std::end(kNames)) return false;
    types |= known->type;
    number = number || text == "number";
    integer = integer || text == "integer";
    return true;
  };
  const std::string expected = "null, boolean, number, integer, string, array, object, or a list of them";
  if (type->is_array()) {
    for (const json::value& part : type->get_array()) {
      if (!add_name(part)) return wrong(schema, "type", expected);
    }
  } else if (!add_name(*type)) {
    return wrong(schema, "type", expected);
  }
  facts.types &= types;
  facts.range.integer = facts.range.integer || (integer && !number);
  return {};
}

Status FactGatherer::add_values(const json::value& schema, Facts& facts) const {
  std::optional<std::vector<json::value>> values;
  if (const json::value* list = schema.get_object().if_contains("enum")) {
    if (!list->is_array()) return wrong(schema, "enum", "a list");
    values.emplace(list->get_array().begin(), list->get_array().end());
  }
  if (const json::value* constant = schema.get_object().if_contains("const")) {
    if (!values) values.emplace(1, *constant);
    std::erase_if(*values, [&](const json::value& value) { return !json_equal(value, *constant); });
  }
  if (!values) return {};
  if (facts.values) {
    std::erase_if(*values, [&](const json::value& value) {
      return std::none_of(facts.values->begin(), facts.values->end(),
                          [&](const json::value& other) { return json_equal(value, other); });
    });
  }
  facts.values = std::move(values);
  return {};
}

Status FactGatherer::add_numbers(const json::value& schema, Facts& facts) const {
  for (const std::string_view keyword : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
    const json::value* limit = schema.get_object().if_contains(keyword);
    if (limit == nullptr) continue;
    if (!limit->is_number()) return wrong(schema, keyword, "a number");
    const Bound bound{Decimal::of(*limit), keyword.starts_with("ex")};
    keyword.ends_with("inimum") ? facts.range.raise(bound) : facts.range.lower(bound);
  }
  return {};
}

Status FactGatherer::add_counts(const json::value& schema, Facts& facts) const {
  struct Count {
    std::string_view keyword;
    std::int64_t* value;
    bool least;
  };
  const Count counts[] = {
      {"minLength", &facts.min_length, true},         {"maxLength", &facts.max_length, false},
      {"minItems", &facts.min_items, true},           {"maxItems", &facts.max_items, false},
      {"minProperties", &facts.min_properties, true}, {"maxProperties", &facts.max_properties, false}};
  for (const Count& count : counts) {
    const json::value* found = schema.get_object().if_contains(count.keyword);
    if (found == nullptr) continue;
    if (!found->is_number() || !is_integer(*found) || number_of(*found) < 0) {
      return wrong(schema, count.keyword, "a whole number, not negative");
    }
    const auto value = static_cast<std::int64_t>(std::min(number_of(*found), 1e15L));
    if (count.least) {
      *count.value = std::max(*count.value, value);
    } else {
      *count.value = *count.value < 0 ? value : std::min(*count.value, value);
    }
  }
  return {};
}

Status FactGatherer::add_required(const json::value& schema, Facts& facts) const {
  const json::value* required = schema.get_object().if_contains("required");
  if (required == nullptr) return {};
  if (!required->is_array()) return wrong(schema, "required", "a list of texts");
  for (const json::value& name : required->get_array()) {
    if (!name.is_string()) return wrong(schema, "required", "a list of texts");
    const std::string text(name.get_string());
    if (std::find(facts.required.begin(), facts.required.end(), text) == facts.required.end()) {
      facts.required.push_back(text);
    }
  }
  return {};
}

}  // namespace maestrale::grammar
