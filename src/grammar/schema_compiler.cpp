#include "grammar/schema_compiler.h"

#include <algorithm>

#include "grammar/compiled.h"
#include "grammar/formats.h"
#include "grammar/json_equal.h"
#include "grammar/regex.h"

namespace maestrale::grammar {

Result<RuleId> SchemaCompiler::compile(bool keywords) {
  TRY(gatherer_.refuse_cycles());
  const RuleId root = rule(goal_of(schema_.index.root()), keywords);
  while (!waiting_.empty()) {
    const auto [task, rule] = std::move(waiting_.back());
    waiting_.pop_back();
    TRY(emit(task, rule));
    if (builder_.full()) break;
    if (rules_.size() > kRulesMax) {
      return Error{.kind = ErrorKind::kResource,
                   .what = "the schema is too large: its allOf and anyOf combine in too many ways",
                   .where = schema_.index.where(),
                   .expected = "at most " + std::to_string(kRulesMax) + " combinations"};
    }
  }
  return root;
}

RuleId SchemaCompiler::rule(const Goal& goal, bool keywords) {
  const auto says_nothing = [](const GoalPart& part) {
    return part.schema->is_bool() ? part.schema->get_bool() : part.schema->get_object().empty();
  };
  if (!keywords && std::all_of(goal.begin(), goal.end(), says_nothing)) return json_.value();
  const Task task{goal, keywords};
  const auto known = rules_.find(task);
  if (known != rules_.end()) return known->second;
  const RuleId made = builder_.rule(schema_.index.location(*goal[0].schema));
  rules_.emplace(task, made);
  waiting_.emplace_back(task, made);
  return made;
}

Status SchemaCompiler::emit(const Task& task, RuleId rule) {
  const Facts facts = TRY(gatherer_.gather(task.goal));
  const StateId from = builder_.start(rule), to = builder_.end(rule);
  if (facts.impossible) return {};
  if (facts.values && task.keywords) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "whole objects that are listed cannot be written as arguments of Python",
                 .where = schema_.index.location(*task.goal[0].schema)};
  }
  if (facts.values) return emit_values(facts, from, to);
  if (!facts.alternatives.empty()) return emit_alternatives(facts, task.keywords, from, to);
  if (task.keywords) return facts.can_be(Facts::kObject) ? emit_object(facts, true, from, to) : Status();
  if (facts.can_be(Facts::kNull)) json_.literal(from, nullptr, to);
  if (facts.can_be(Facts::kBoolean)) {
    json_.literal(from, true, to);
    json_.literal(from, false, to);
  }
  if (facts.can_be(Facts::kNumber)) emit_number(facts, from, to);
  if (facts.can_be(Facts::kString)) TRY(emit_string(facts, from, to));
  if (facts.can_be(Facts::kArray)) emit_array(facts, from, to);
  if (facts.can_be(Facts::kObject)) TRY(emit_object(facts, false, from, to));
  return {};
}

// Those of the listed values that fit everything else too.
Status SchemaCompiler::emit_values(const Facts& facts, StateId from, StateId to) {
  for (const json::value& value : *facts.values) {
    bool fits = true;
    for (const GoalPart& part : facts.all) {
      fits = fits && TRY(ValidateRun(schema_).fits(*part.schema, value));
    }
    if (fits) json_.literal(from, value, to);
  }
  return {};
}

Status SchemaCompiler::emit_alternatives(const Facts& facts, bool keywords, StateId from, StateId to) {
  const Alternatives& group = facts.alternatives.front();
  if (group.which == 2) TRY(refuse_overlap(group));
  for (const json::value& alternative : *group.list) {
    Goal goal = facts.all;
    add_to_goal(goal, *group.schema, group.which);
    add_to_goal(goal, alternative);
    builder_.call(from, rule(goal, keywords), to);
  }
  return {};
}

void SchemaCompiler::emit_number(const Facts& facts, StateId from, StateId to) {
  if (facts.range.bounded()) return json_.speller().text(numbers_in(facts.range), from, to);
  facts.range.integer ? json_.integer(from, to) : json_.number(from, to);
}

Result<std::optional<CharNfa>> SchemaCompiler::string_content(const Facts& facts) const {
  std::optional<CharNfa> content;
  const auto also = [&](const CharNfa& nfa, const json::value& source, std::string_view keyword) -> Status {
    content = content ? content->intersected(nfa) : nfa;
    if (!content->full()) return {};
    return Error{.kind = ErrorKind::kResource,
                 .what = "the expressions and lengths for this text make too large an automaton",
                 .where = schema_.index.location(source, keyword)};
  };
  for (const json::value* source : facts.sources) {
    const json::object& object = source->get_object();
    if (const json::value* pattern = object.if_contains("pattern");
        pattern != nullptr && pattern->is_string()) {
      const std::string where = schema_.index.location(*source, "pattern");
      TRY(also(TRY(parse_regex(pattern->get_string(), RegexUse::kSearch, where)), *source, "pattern"));
    }
    const json::value* format = object.if_contains("format");
    if (format == nullptr || !format->is_string()) continue;
    std::string expression;
    const FormatSupport support = find_format(format->get_string(), expression);
    if (support == FormatSupport::kRefused) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "'format' is not supported for structured output with this value",
                   .where = schema_.index.location(*source, "format"),
                   .found = std::string(format->get_string())};
    }
    if (support == FormatSupport::kAnnotation) continue;
    TRY(also(TRY(parse_regex(expression, RegexUse::kWhole, "format")), *source, "format"));
  }
  if (content && (facts.min_length > 0 || facts.max_length >= 0)) {
    TRY(also(CharNfa::lengths(facts.min_length, facts.max_length), *facts.sources[0], ""));
  }
  return content;
}

Status SchemaCompiler::emit_string(const Facts& facts, StateId from, StateId to) {
  const std::optional<CharNfa> content = TRY(string_content(facts));
  if (!content) {
    json_.string(from, facts.min_length, facts.max_length, to);
  } else if (!content->matches_nothing()) {
    json_.string(from, *content, to);
  }
  return {};
}

// A state for each number of items so far; the last one loops where there is no limit.
void SchemaCompiler::emit_array(const Facts& facts, StateId from, StateId to) {
  std::size_t prefix = 0;
  const auto list_of = [](const json::value& source) -> const json::array* {
    const json::value* list = source.get_object().if_contains("prefixItems");
    return list != nullptr && list->is_array() ? &list->get_array() : nullptr;
  };
  for (const json::value* source : facts.sources) {
    if (list_of(*source) != nullptr) prefix = std::max(prefix, list_of(*source)->size());
  }
  const auto item = [&](std::size_t at) {
    Goal goal;
    for (const json::value* source : facts.sources) {
      const json::array* list = list_of(*source);
      const json::value* rest = source->get_object().if_contains("items");
      if (list != nullptr && at < list->size()) {
        add_to_goal(goal, (*list)[at]);
      } else if (rest != nullptr) {
        add_to_goal(goal, *rest);
      }
    }
    return rule(goal);
  };
  const auto least = static_cast<std::size_t>(facts.min_items);
  const std::size_t fixed = std::max({prefix, least, std::size_t{1}});
  const StateId open = builder_.state();
  StateId before = builder_.state();
  json_.byte(from, '[', open);
  json_.blank(open, before);
  for (std::size_t count = 0; !builder_.full(); ++count) {
    if (count >= least) {
      const StateId close = builder_.state();
      count == 0 ? builder_.empty(before, close) : json_.blank(before, close);
      json_.byte(close, ']', to);
    }
    if (facts.max_items >= 0 && count >= static_cast<std::size_t>(facts.max_items)) break;
    const bool loop = facts.max_items < 0 && count >= fixed;
    StateId next = before;
    if (count > 0) {
      const StateId comma = builder_.state();
      next = builder_.state();
      json_.byte(before, ',', comma);
      json_.blank(comma, next);
    }
    const StateId after = loop ? before : builder_.state();
    builder_.call(next, item(std::min(count, fixed)), after);
    if (loop) break;
    before = after;
  }
}

Result<GrammarPtr> compile_json_schema(const json::value& schema, const JsonStyle& style,
                                       const std::string& where) {
  const PreparedSchema prepared = TRY(PreparedSchema::make(schema, where, {.formats = true}));
  NetworkBuilder builder;
  const RuleId root = TRY(SchemaCompiler(prepared, builder, style).compile());
  Network network = TRY(Network::finish(std::move(builder), root, where));
  return GrammarPtr(std::make_shared<const Grammar>(std::move(network), true));
}

Result<GrammarPtr> compile_json_object(const JsonStyle& style) {
  NetworkBuilder builder;
  const RuleId root = JsonText(builder, style).object();
  Network network = TRY(Network::finish(std::move(builder), root, "json_object"));
  return GrammarPtr(std::make_shared<const Grammar>(std::move(network), true));
}

}  // namespace maestrale::grammar
