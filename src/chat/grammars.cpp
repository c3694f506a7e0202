#include "chat/grammars.h"

#include <fmt/core.h>

#include <boost/json/serialize.hpp>

namespace maestrale::chat {
namespace {

// Arguments are an object, whether their schema says so or not.
json::value only_objects(const json::value& schema) {
  if (!schema.is_object()) return schema;
  json::object narrowed = schema.get_object();
  const json::value* type = narrowed.if_contains("type");
  if (type == nullptr) {
    narrowed["type"] = "object";
  } else if (*type != "object") {
    json::array all{json::object{{"type", "object"}}};
    if (narrowed.contains("allOf")) all.push_back(json::object{{"allOf", narrowed["allOf"]}});
    narrowed["allOf"] = std::move(all);
  }
  return narrowed;
}

}  // namespace

grammar::TokenTablePtr Grammars::table() {
  const std::lock_guard lock(mutex_);
  if (table_ == nullptr) table_ = grammar::make_token_table(*tokenizer_);
  return table_;
}

grammar::TokenTablePtr Grammars::spelled_table(const std::vector<std::string_view>& spelled) {
  const std::lock_guard lock(mutex_);
  if (spelled_table_ == nullptr) spelled_table_ = grammar::make_token_table(*tokenizer_, spelled);
  return spelled_table_;
}

template <class Compile>
Result<grammar::GrammarPtr> Grammars::kept(const std::string& key, Compile compile) {
  {
    const std::lock_guard lock(mutex_);
    for (auto it = recent_.begin(); it != recent_.end(); ++it) {
      if (it->first != key) continue;
      recent_.splice(recent_.begin(), recent_, it);
      return it->second;
    }
  }
  Result<grammar::GrammarPtr> made = compile();
  if (!made.ok()) {
    // A limit on size is the request's fault too: 429 would ask for it again.
    if (made.error().kind == ErrorKind::kResource) made.error().kind = ErrorKind::kUsage;
    return made;
  }
  const std::lock_guard lock(mutex_);
  recent_.emplace_front(key, *made);
  if (recent_.size() > kKept) recent_.pop_back();
  return made;
}

Result<grammar::GrammarPtr> Grammars::shape(const OutputShape& shape) {
  using Kind = OutputShape::Kind;
  switch (shape.kind) {
    case Kind::kJsonSchema:
      return kept("schema " + json::serialize(shape.schema),
                  [&] { return grammar::compile_json_schema(shape.schema, {}, shape.where); });
    case Kind::kRegex:
      return kept("regex " + shape.source, [&] { return grammar::compile_regex(shape.source, shape.where); });
    case Kind::kGrammar:
      return kept("gbnf " + shape.source, [&] { return grammar::compile_gbnf(shape.source, shape.where); });
    case Kind::kChoice:
      return grammar::compile_choices(shape.choices, shape.where);
    case Kind::kJsonObject:
    case Kind::kFree:
      break;
  }
  return kept("object", [] { return grammar::compile_json_object(); });
}

Result<grammar::GrammarPtr> Grammars::arguments(const json::value& schema, bool strict,
                                                const std::string& where) {
  const grammar::JsonStyle compact{.compact = true};
  auto made = kept("arguments " + json::serialize(schema),
                   [&] { return grammar::compile_json_schema(only_objects(schema), compact, where); });
  if (made.ok() || strict) return made;
  return kept("any arguments", [&] { return grammar::compile_json_object(compact); });
}

Result<grammar::GrammarPtr> Grammars::calls(const grammar::CallForm& form, const json::array& tools) {
  std::vector<grammar::CallSchema> functions;
  std::string key =
      fmt::format("calls {} {} {} {} {} {} {} {}", form.open, form.before, form.between, form.after,
                  form.separator, form.close, form.many, static_cast<int>(form.style.syntax));
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const json::object& function = tools[i].at("function").as_object();
    const std::string where = fmt::format("tools[{}].function.parameters", i);
    const std::string name = json::serialize(function.at("name"));
    json::value parameters = only_objects(function.at("parameters"));
    if (!function.contains("strict") && !arguments(parameters, true, where).ok())
      parameters = json::object{{"type", "object"}};
    key += name + json::serialize(parameters);
    functions.push_back({name.substr(1, name.size() - 2), std::move(parameters), where});
  }
  return kept(key, [&] { return grammar::compile_calls(form, functions); });
}

Result<grammar::GrammarPtr> Grammars::names(const std::vector<std::string>& names) {
  return grammar::compile_choices(names, "tools");
}

}  // namespace maestrale::chat
