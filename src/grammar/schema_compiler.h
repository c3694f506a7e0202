// From a JSON Schema to rules of a network: one rule for each set of schemas that must hold together.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "grammar/json_text.h"
#include "grammar/schema_facts.h"
#include "grammar/validate_run.h"

namespace maestrale::grammar {

class SchemaCompiler {
 public:
  static constexpr std::size_t kRulesMax = 20'000;

  SchemaCompiler(const PreparedSchema& schema, NetworkBuilder& builder, const JsonStyle& style)
      : schema_(schema), builder_(builder), json_(builder, style), gatherer_(schema.index) {}
  Result<RuleId> compile() { return compile(false); }
  // An object as the arguments of a call: name=value, … where values are Python's.
  Result<RuleId> compile_arguments() { return compile(json_.syntax() == ValueSyntax::kPython); }

 private:
  struct Element {  // what a member or an item must be; nothing: anything
    Goal goal;
  };
  // Keys that the schema does not name, with the schemas for what stands there.
  struct FreeKeys {
    std::optional<CharNfa> names;  // none: any name
    Goal goal;
  };
  struct ObjectPlan {
    std::vector<std::string> names;
    std::vector<Goal> goals;
    std::vector<bool> required;
    std::vector<FreeKeys> free;
    bool keywords = false;  // as Task has it
  };

  // What a rule is for; `keywords`: of an object, its members as name=value without what stands round them.
  struct Task {
    Goal goal;
    bool keywords = false;
    auto operator<=>(const Task&) const = default;
  };

  Result<RuleId> compile(bool keywords);
  RuleId rule(const Goal& goal, bool keywords = false);  // emitted later
  Status emit(const Task& task, RuleId rule);
  Status emit_values(const Facts& facts, StateId from, StateId to);
  Status emit_alternatives(const Facts& facts, bool keywords, StateId from, StateId to);
  Status emit_string(const Facts& facts, StateId from, StateId to);
  void emit_number(const Facts& facts, StateId from, StateId to);
  void emit_array(const Facts& facts, StateId from, StateId to);
  Status emit_object(const Facts& facts, bool keywords, StateId from, StateId to);
  void emit_members(const ObjectPlan& plan, const Facts& facts, StateId from, StateId to);
  RuleId member(const ObjectPlan& plan, std::size_t at);
  RuleId free_member(const FreeKeys& keys);

  // What the content of a string must be; nothing: only its length counts.
  Result<std::optional<CharNfa>> string_content(const Facts& facts) const;
  // The names that propertyNames allows.
  Status limit_names(const Facts& facts, ObjectPlan& plan, std::optional<CharNfa>& allowed);
  Result<bool> name_is_allowed(const Facts& facts, const std::string& name) const;
  Status plan_names(const Facts& facts, ObjectPlan& plan) const;
  Status plan_free(const Facts& facts, const std::optional<CharNfa>& allowed, ObjectPlan& plan) const;
  Status add_free(const Facts& facts, const std::vector<std::string>& patterns, unsigned matched,
                  const std::optional<CharNfa>& allowed, ObjectPlan& plan) const;
  Result<Goal> goal_of_name(const Facts& facts, const std::string& name) const;

  Status refuse_overlap(const Alternatives& group);
  Result<bool> disjoint(const Goal& a, const Goal& b, int depth) const;
  Result<bool> disjoint_objects(const Facts& a, const Facts& b, int depth) const;
  Result<bool> disjoint_values(const Facts& listed, const Facts& other) const;

  const PreparedSchema& schema_;
  NetworkBuilder& builder_;
  JsonText json_;
  FactGatherer gatherer_;
  std::map<Task, RuleId> rules_;
  std::vector<std::pair<Task, RuleId>> waiting_;
};

}  // namespace maestrale::grammar
