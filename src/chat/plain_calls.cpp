#include "chat/plain_calls.h"

#include <algorithm>

#include "chat/call_free_text.h"
#include "chat/combined_constraint.h"
#include "chat/token_mask.h"
#include "chat/turn_parser.h"

namespace maestrale::chat {
namespace {

using Part = std::unique_ptr<engine::TokenConstraint>;

struct PlainForm {
  std::string_view dialect, mark;
  bool many_marked;
  bool python;  // calls may also be [f(a=1), g()]
};
constexpr PlainForm kForms[] = {{"llama3", "<|python_tag|>", false, false},
                                {"llama4", "<|python_start|>", true, true}};

const PlainForm* form_of(const Dialect& dialect) {
  const auto* found = std::find_if(std::begin(kForms), std::end(kForms),
                                   [&](const PlainForm& form) { return form.dialect == dialect.name; });
  return found == std::end(kForms) ? nullptr : found;
}

Part calls_of(const std::vector<grammar::GrammarPtr>& syntaxes, const grammar::TokenTablePtr& table) {
  std::vector<Part> parts;
  for (const grammar::GrammarPtr& syntax : syntaxes) parts.push_back(matching({syntax, table}));
  return any_of(std::move(parts));
}

// What `before` allows, until the mark; then calls.
class MarkedCalls final : public engine::TokenConstraint {
 public:
  // `anywhere`: not only before everything else.
  MarkedCalls(Part before, Part calls, text::TokenId mark, bool anywhere)
      : now_(std::move(before)), calls_(std::move(calls)), mark_(mark), anywhere_(anywhere) {}

  void mask(TokenMask mask) override {
    now_->mask(mask);
    if (calls_ != nullptr) allow(mask, mark_);
  }
  bool accept(text::TokenId token) override {
    if (calls_ != nullptr && token == mark_) {
      now_ = std::move(calls_);
      return true;
    }
    if (!now_->accept(token)) return false;
    if (!anywhere_) calls_ = nullptr;
    return true;
  }
  bool finished() const override { return now_->finished(); }

 private:
  Part now_, calls_;  // calls_: what a mark would begin; null where it may not come any more
  text::TokenId mark_;
  bool anywhere_;
};

Part with_mark(const PlainCalls& plan, Part before, bool several, bool anywhere) {
  if (!plan.mark) return before;
  return std::make_unique<MarkedCalls>(
      std::move(before), calls_of(several && plan.many_marked ? plan.many : plan.one, plan.table), *plan.mark,
      anywhere);
}

// Whether read_python_calls() takes every tool's name for one.
bool python_names(const json::array& tools) {
  const std::string first = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-.",
                    others = first + "0123456789";
  return std::all_of(tools.begin(), tools.end(), [&](const json::value& tool) {
    const std::string name(tool.at("function").at("name").as_string());
    return !name.empty() && first.find(name.front()) != first.npos &&
           name.find_first_not_of(others) == name.npos;
  });
}

Status add_form(PlainCalls& plan, Grammars& grammars, grammar::CallForm form, const json::array& tools) {
  grammar::GrammarPtr one = TRY(grammars.calls(form, tools));
  form.many = true;
  plan.many.push_back(TRY(grammars.calls(form, tools)));
  plan.one.push_back(std::move(one));
  return {};
}

Error unsupported(std::string what, std::string where) {
  return Error{.kind = ErrorKind::kUnsupported, .what = std::move(what), .where = std::move(where)};
}

// A call has a name and arguments, or is what stands under "function". Values of other types there make none.
json::object no_call_object() {
  const json::object no_object{{"type", json::array{"string", "number", "boolean", "null", "array"}}};
  const json::object no_text{{"type", json::array{"number", "boolean", "null", "array", "object"}}};
  const json::object neither{{"type", json::array{"number", "boolean", "null", "array"}}};
  const json::object nameless{{"properties", {{"name", no_text}, {"function", no_object}}}};
  const json::object without_arguments{
      {"properties", {{"arguments", neither}, {"parameters", neither}, {"function", no_object}}}};
  return {{"anyOf", {nameless, without_arguments}}};
}

json::value no_call_schema(const OutputShape& shape) {
  if (shape.kind == OutputShape::Kind::kJsonObject)
    return json::object{{"type", "object"}, {"allOf", {no_call_object()}}};
  if (!shape.schema.is_object()) return shape.schema == true ? json::value(no_call_object()) : shape.schema;
  json::object narrowed = shape.schema.get_object();
  json::array all;
  if (const json::value* said = narrowed.if_contains("allOf"); said != nullptr && said->is_array())
    all = said->get_array();
  all.push_back(no_call_object());
  narrowed["allOf"] = std::move(all);
  return narrowed;
}

bool is_call(const Dialect& dialect, std::string_view text) {
  const auto parser = make_turn_parser(dialect, TurnStart::kNew);
  std::vector<Event> events;
  parser->push(text, events);
  parser->finish(events);
  return !turn_of(events).calls.empty();
}

// Texts of grammars and expressions are too many to look at: any that begins like a call counts.
Result<bool> may_begin_a_call(Grammars& grammars, const OutputShape& shape) {
  const grammar::GrammarPtr grammar = TRY(grammars.shape(shape));
  const auto table = grammars.table();
  const auto can_begin = [&](const std::string& text) {
    return grammar::Matcher(grammar, table).begin_with(text);
  };
  for (const char* begin : {" ", "\t", "\r", "\n", "["}) {
    if (can_begin(begin)) return true;
  }
  for (const char* blank : {"", " ", "\t", "\r", "\n"}) {
    for (const char* key : {"\"name\"", "\"type\"", "\"function\"", "\"parameters\"", "\"id\""}) {
      if (can_begin(std::string("{") + blank + key)) return true;
    }
  }
  return false;
}

}  // namespace

bool has_plain_calls(const Dialect& dialect) { return form_of(dialect) != nullptr; }

Result<std::shared_ptr<const PlainCalls>> plan_plain_calls(const Dialect& dialect,
                                                           const text::Tokenizer& tokenizer,
                                                           Grammars& grammars, const json::array& tools) {
  const PlainForm& form = *form_of(dialect);
  auto plan = std::make_shared<PlainCalls>();
  TRY(add_form(
      *plan, grammars,
      {.before = R"({"name": ")", .between = R"(", "parameters": )", .after = "}", .separator = "; "},
      tools));
  // What Python cannot write is written as JSON.
  if (form.python && python_names(tools)) {
    (void)add_form(*plan, grammars,
                   {.open = "[",
                    .before = "",
                    .between = "(",
                    .after = ")",
                    .separator = ", ",
                    .close = "]",
                    .style = {.syntax = grammar::ValueSyntax::kPython}},
                   tools);
  }
  const auto mark = tokenizer.find(form.mark);
  if (mark && tokenizer.kind(*mark) == text::TokenKind::kControl) plan->mark = *mark;
  plan->many_marked = form.many_marked;
  const auto free_text = [&](std::string source) {
    return grammars.shape({.kind = OutputShape::Kind::kGrammar, .source = std::move(source)});
  };
  plan->answer = TRY(free_text(call_free_answer(dialect)));
  plan->text = TRY(free_text(unmarked_text(opening_marks(dialect))));
  plan->table = grammars.table();
  return std::shared_ptr<const PlainCalls>(std::move(plan));
}

Part make_plain_calls(const PlainCalls& plan, bool several) {
  return with_mark(plan, calls_of(several ? plan.many : plan.one, plan.table), several, false);
}

Part make_strict_plain_calls(const PlainCallsPtr& plan, bool several, bool begun) {
  Part text = with_mark(*plan, matching({begun ? plan->text : plan->answer, plan->table}), several, true);
  if (begun) return text;
  std::vector<Part> parts;
  parts.push_back(calls_of(several ? plan->many : plan->one, plan->table));
  parts.push_back(std::move(text));
  return any_of(std::move(parts));
}

Part make_plain_calls_or_text(const PlainCalls& plan, Part text, bool several) {
  std::vector<Part> parts;
  parts.push_back(make_plain_calls(plan, several));
  parts.push_back(both_of(std::move(text), matching({plan.text, plan.table})));
  return any_of(std::move(parts));
}

Result<OutputShape> no_plain_call(const Dialect& dialect, Grammars& grammars, const OutputShape& shape) {
  using Kind = OutputShape::Kind;
  OutputShape narrowed = shape;
  bool taken = false;
  switch (shape.kind) {
    case Kind::kFree:
      break;
    case Kind::kJsonObject:
    case Kind::kJsonSchema:
      TRY(grammars.shape(shape));  // what is wrong with it says itself
      narrowed.schema = no_call_schema(shape);
      narrowed.kind = Kind::kJsonSchema;
      taken = !grammars.shape(narrowed).ok();
      break;
    case Kind::kChoice:
      taken = std::any_of(shape.choices.begin(), shape.choices.end(),
                          [&](const std::string& choice) { return is_call(dialect, choice); });
      break;
    case Kind::kRegex:
    case Kind::kGrammar:
      taken = TRY(may_begin_a_call(grammars, shape));
      break;
  }
  if (!taken) return narrowed;
  return unsupported("calls of this model cannot be told from a text of this shape: not together with tools",
                     shape.where);
}

}  // namespace maestrale::chat
