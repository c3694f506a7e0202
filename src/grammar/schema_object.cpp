// Objects: declared names in the schema's order, then free ones.
#include <algorithm>

#include "grammar/regex.h"
#include "grammar/schema_compiler.h"

namespace maestrale::grammar {
namespace {

constexpr std::size_t kPatternsMax = 4;
constexpr std::size_t kFreeNamesLeast = 1000;

const json::object* map_of(const json::value& source, std::string_view keyword) {
  const json::value* found = source.get_object().if_contains(keyword);
  return found != nullptr && found->is_object() ? &found->get_object() : nullptr;
}

void add_name(std::vector<std::string>& names, std::string name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
}

bool is_keyword(std::string_view name) {
  const auto stands_in_one = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), stands_in_one);
}

// Number of texts of an automaton, up to `most`.
std::size_t count_texts(const CharNfa& nfa, std::size_t most) {
  if (!nfa.finite()) return most;
  const CharNfa one = nfa.deterministic().intersected(CharNfa::any());
  if (one.full()) return most;
  std::vector<std::size_t> ways(one.states().size());
  std::vector<std::uint32_t> entries(one.states().size()), order{0};
  for (const auto& state : one.states()) {
    for (const auto& edge : state.edges) ++entries[edge.to];
  }
  ways[0] = 1;
  std::size_t total = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto& state = one.states()[order[i]];
    if (state.accepting) total = std::min(most, total + ways[order[i]]);
    for (const auto& edge : state.edges) {
      std::size_t size = 0;
      for (const CharRange& range : edge.set.ranges()) size += range.high - range.low + 1;
      ways[edge.to] = std::min(most, ways[edge.to] + ways[order[i]] * size);
      if (--entries[edge.to] == 0) order.push_back(edge.to);
    }
  }
  return total;
}

}  // namespace

Status SchemaCompiler::plan_names(const Facts& facts, ObjectPlan& plan) const {
  for (const json::value* source : facts.sources) {
    const json::object* properties = map_of(*source, "properties");
    if (properties == nullptr) continue;
    for (const auto& property : *properties) add_name(plan.names, std::string(property.key()));
  }
  for (const std::string& name : facts.required) add_name(plan.names, name);
  return {};
}

Result<bool> SchemaCompiler::name_is_allowed(const Facts& facts, const std::string& name) const {
  for (const json::value* source : facts.sources) {
    const json::value* names = source->get_object().if_contains("propertyNames");
    if (names != nullptr && !TRY(ValidateRun(schema_).fits(*names, json::value(name)))) return false;
  }
  return true;
}

Result<Goal> SchemaCompiler::goal_of_name(const Facts& facts, const std::string& name) const {
  Goal goal;
  for (const json::value* source : facts.sources) {
    bool known = false;
    const json::object* properties = map_of(*source, "properties");
    if (const json::value* own = properties != nullptr ? properties->if_contains(name) : nullptr) {
      add_to_goal(goal, *own);
      known = true;
    }
    if (const json::object* patterns = map_of(*source, "patternProperties")) {
      for (const auto& pattern : *patterns) {
        const std::string where = schema_.index.location(*source, "patternProperties");
        if (!TRY(parse_regex(pattern.key(), RegexUse::kSearch, where)).matches(name)) continue;
        add_to_goal(goal, pattern.value());
        known = true;
      }
    }
    const json::value* additional = source->get_object().if_contains("additionalProperties");
    if (!known && additional != nullptr) add_to_goal(goal, *additional);
  }
  return goal;
}

// Listed names become declared ones; what else propertyNames says becomes an automaton.
Status SchemaCompiler::limit_names(const Facts& facts, ObjectPlan& plan, std::optional<CharNfa>& allowed) {
  Goal goal;
  for (const json::value* source : facts.sources) {
    if (const json::value* names = source->get_object().if_contains("propertyNames"))
      add_to_goal(goal, *names);
  }
  if (goal.empty()) return {};
  const Facts names = TRY(gatherer_.gather(goal));
  const std::vector<std::string> none;
  if (names.values) {
    for (const json::value& value : *names.values) {
      if (value.is_string()) add_name(plan.names, std::string(value.get_string()));
    }
    allowed = CharNfa::one_of(none);
    return {};
  }
  if (!names.alternatives.empty()) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "'propertyNames' with alternatives is not supported for structured output",
                 .where = schema_.index.location(*names.alternatives[0].schema)};
  }
  if (!names.can_be(Facts::kString)) {
    allowed = CharNfa::one_of(none);
    return {};
  }
  const auto content = TRY(string_content(names));
  allowed = content ? *content : CharNfa::lengths(names.min_length, names.max_length);
  return {};
}

Status SchemaCompiler::plan_free(const Facts& facts, const std::optional<CharNfa>& allowed,
                                 ObjectPlan& plan) const {
  std::vector<std::string> patterns;
  const json::value* last = nullptr;
  for (const json::value* source : facts.sources) {
    const json::object* map = map_of(*source, "patternProperties");
    if (map == nullptr) continue;
    last = source;
    for (const auto& pattern : *map) add_name(patterns, std::string(pattern.key()));
  }
  if (patterns.size() > kPatternsMax) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "'patternProperties' has too many patterns for structured output",
                 .where = schema_.index.location(*last, "patternProperties"),
                 .expected = "at most " + std::to_string(kPatternsMax)};
  }
  for (unsigned matched = 0; matched < 1U << patterns.size(); ++matched) {
    TRY(add_free(facts, patterns, matched, allowed, plan));
  }
  return {};
}

// The free names that match exactly the patterns of the set `matched`.
Status SchemaCompiler::add_free(const Facts& facts, const std::vector<std::string>& patterns,
                                unsigned matched, const std::optional<CharNfa>& allowed,
                                ObjectPlan& plan) const {
  FreeKeys keys;
  for (const json::value* source : facts.sources) {
    bool known = false;
    const json::object* map = map_of(*source, "patternProperties");
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      const json::value* part =
          map != nullptr && (matched >> i & 1) != 0 ? map->if_contains(patterns[i]) : nullptr;
      if (part == nullptr) continue;
      add_to_goal(keys.goal, *part);
      known = true;
    }
    const json::value* additional = source->get_object().if_contains("additionalProperties");
    if (!known && additional != nullptr) add_to_goal(keys.goal, *additional);
  }
  const auto is_false = [](const GoalPart& part) {
    return part.schema->is_bool() && !part.schema->get_bool();
  };
  if (std::any_of(keys.goal.begin(), keys.goal.end(), is_false)) return {};
  if (!plan.names.empty() || !patterns.empty() || allowed) {
    CharNfa names = allowed ? *allowed : CharNfa::any();
    if (!plan.names.empty()) names = names.intersected(CharNfa::one_of(plan.names).complement());
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      const CharNfa pattern = TRY(parse_regex(patterns[i], RegexUse::kSearch, "patternProperties"));
      names = names.intersected((matched >> i & 1) != 0 ? pattern : pattern.complement());
    }
    const std::string where = schema_.index.location(*facts.sources[0]);
    if (names.full()) {
      return Error{.kind = ErrorKind::kResource,
                   .what = "the property names of this object make too large an automaton",
                   .where = where};
    }
    if (names.matches_nothing()) return {};
    if (count_texts(names, kFreeNamesLeast) < kFreeNamesLeast) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "'patternProperties' or 'propertyNames' leaves only a few names",
                   .where = where,
                   .hint = "list them under 'properties'"};
    }
    keys.names = std::move(names);
  }
  plan.free.push_back(std::move(keys));
  return {};
}

Status SchemaCompiler::emit_object(const Facts& facts, bool keywords, StateId from, StateId to) {
  ObjectPlan plan;
  plan.keywords = keywords;
  TRY(plan_names(facts, plan));
  std::optional<CharNfa> allowed;
  TRY(limit_names(facts, plan, allowed));
  if (!keywords && json_.syntax() != ValueSyntax::kMarked) TRY(plan_free(facts, allowed, plan));
  std::vector<std::string> names;
  for (const std::string& name : plan.names) {
    const bool required =
        std::find(facts.required.begin(), facts.required.end(), name) != facts.required.end();
    if (!TRY(name_is_allowed(facts, name))) {
      if (required) return {};  // no object can fit
      continue;
    }
    if (keywords ? !is_keyword(name) : !json_.key(name)) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "the calls of this model have no way to write this name of a property",
                   .where = schema_.index.location(*facts.all[0].schema),
                   .found = name};
    }
    names.push_back(name);
    plan.goals.push_back(TRY(goal_of_name(facts, name)));
    plan.required.push_back(required);
  }
  plan.names = std::move(names);
  emit_members(plan, facts, from, to);
  return {};
}

RuleId SchemaCompiler::member(const ObjectPlan& plan, std::size_t at) {
  const RuleId made = builder_.rule("member");
  const StateId content = builder_.state();
  if (plan.keywords) {
    builder_.text(builder_.start(made), plan.names[at] + "=", content);
  } else {
    const StateId colon = builder_.state();
    builder_.text(builder_.start(made), json_.key(plan.names[at]).value(), colon);
    json_.blank(colon, content);
  }
  builder_.call(content, rule(plan.goals[at]), builder_.end(made));
  return made;
}

RuleId SchemaCompiler::free_member(const FreeKeys& keys) {
  const RuleId made = builder_.rule("member");
  const StateId key = builder_.state(), colon = builder_.state(), content = builder_.state();
  json_.free_key(builder_.start(made), keys.names ? &*keys.names : nullptr, key);
  json_.byte(key, ':', colon);
  json_.blank(colon, content);
  builder_.call(content, rule(keys.goal), builder_.end(made));
  return made;
}

// A state for each (names passed, members so far); members are counted only as far as a limit needs it.
void SchemaCompiler::emit_members(const ObjectPlan& plan, const Facts& facts, StateId from, StateId to) {
  const bool limited = facts.max_properties >= 0;
  const auto least = static_cast<std::size_t>(facts.min_properties);
  const std::size_t cap =
      limited ? static_cast<std::size_t>(facts.max_properties) : std::max(least, std::size_t{1});
  const std::size_t reach = plan.free.empty() ? std::min(cap, plan.names.size()) : cap;
  std::vector<RuleId> declared, free;
  for (std::size_t i = 0; i < plan.names.size() && !builder_.full(); ++i) declared.push_back(member(plan, i));
  for (const FreeKeys& keys : plan.free) free.push_back(free_member(keys));
  const auto layer = [&] {
    std::vector<StateId> states;
    for (std::size_t c = 0; c <= reach && !builder_.full(); ++c) states.push_back(builder_.state());
    return states;
  };
  // One more member from `before` (with `count` of them so far) to `after`.
  const auto step = [&](StateId before, std::size_t count, RuleId rule, StateId after) {
    StateId at = before;
    if (count > 0) {
      const StateId comma = builder_.state();
      at = builder_.state();
      json_.byte(before, ',', comma);
      json_.blank(comma, at);
    }
    builder_.call(at, rule, after);
  };
  const auto next_count = [&](std::size_t count) { return limited ? count + 1 : std::min(count + 1, reach); };
  const auto may_add = [&](std::size_t count) { return !limited || count < cap; };
  std::vector<StateId> now = layer();
  if (builder_.full()) return;
  if (plan.keywords) {
    builder_.empty(from, now[0]);
  } else {
    const StateId open = builder_.state();
    json_.byte(from, '{', open);
    json_.blank(open, now[0]);
  }
  for (std::size_t i = 0; i < declared.size() && !builder_.full(); ++i) {
    const std::vector<StateId> next = layer();
    for (std::size_t c = 0; c < now.size() && next.size() == now.size() && !builder_.full(); ++c) {
      if (!plan.required[i]) builder_.empty(now[c], next[c]);
      if (may_add(c) && next_count(c) < next.size()) step(now[c], c, declared[i], next[next_count(c)]);
    }
    now = next;
  }
  for (std::size_t c = 0; c < now.size() && !builder_.full(); ++c) {
    for (const RuleId rule : free) {
      if (may_add(c)) step(now[c], c, rule, now[next_count(c)]);
    }
    if (c < least) continue;
    if (plan.keywords) {
      builder_.empty(now[c], to);
      continue;
    }
    const StateId close = builder_.state();
    c == 0 ? builder_.empty(now[c], close) : json_.blank(now[c], close);
    json_.byte(close, '}', to);
  }
}

}  // namespace maestrale::grammar
