// What some schemas that must hold together say, gathered by the kind of value it is about.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "grammar/number_range.h"
#include "grammar/schema_index.h"

namespace maestrale::grammar {

// One schema of a goal. An alternative of its anyOf (1) or oneOf (2) may have been chosen already.
struct GoalPart {
  const json::value* schema = nullptr;
  std::uint8_t chosen = 0;
  auto operator<=>(const GoalPart&) const = default;
};
// Schemas that must hold together; sorted, each schema once.
using Goal = std::vector<GoalPart>;
Goal goal_of(const json::value& schema);
void add_to_goal(Goal& goal, const json::value& schema, std::uint8_t chosen = 0);

struct Alternatives {
  const json::value* schema = nullptr;
  std::uint8_t which = 0;  // as GoalPart::chosen
  const json::array* list = nullptr;
  const char* keyword() const { return which == 1 ? "anyOf" : "oneOf"; }
};

struct Facts {
  enum Type : unsigned {
    kNull = 1,
    kBoolean = 2,
    kNumber = 4,
    kString = 8,
    kArray = 16,
    kObject = 32,
    kAll = 63
  };
  unsigned types = kAll;
  bool impossible = false;                         // a schema `false`
  std::vector<const json::value*> sources;         // the schemas (objects) themselves, references followed
  std::vector<Alternatives> alternatives;          // not chosen yet
  std::optional<std::vector<json::value>> values;  // enum or const: no others
  NumberRange range;
  std::int64_t min_length = 0, max_length = -1;  // -1: no limit, here and below
  std::int64_t min_items = 0, max_items = -1;
  std::int64_t min_properties = 0, max_properties = -1;
  std::vector<std::string> required;
  Goal all;  // the goal with everything that references and allOf add

  bool can_be(Type type) const { return (types & type) != 0 && !impossible; }
};

class FactGatherer {
 public:
  explicit FactGatherer(const SchemaIndex& index) : index_(index) {}
  // Errors: kInvalidInput, kUnsupported with the keyword's place.
  Result<Facts> gather(const Goal& goal) const;
  // The schemas that a schema applies to the same value through $ref, allOf, anyOf, oneOf must not come back
  // to it.
  Status refuse_cycles() const;

 private:
  Status add(const json::value& schema, std::uint8_t chosen, Facts& facts) const;
  Status refuse_keywords(const json::value& schema) const;
  Status add_types(const json::value& schema, Facts& facts) const;
  Status add_values(const json::value& schema, Facts& facts) const;
  Status add_numbers(const json::value& schema, Facts& facts) const;
  Status add_counts(const json::value& schema, Facts& facts) const;
  Status add_required(const json::value& schema, Facts& facts) const;
  Result<std::vector<const json::value*>> in_place(const json::value& schema) const;
  Error wrong(const json::value& schema, std::string_view keyword, const std::string& expected) const;
  Error refused(const json::value& schema, std::string_view keyword, const std::string& why) const;
  const SchemaIndex& index_;
};

}  // namespace maestrale::grammar
