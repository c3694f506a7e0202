#include "chat/spelled_calls.h"

#include <algorithm>

#include "chat/call_free_text.h"
#include "chat/combined_constraint.h"
#include "chat/token_mask.h"

namespace maestrale::chat {
namespace {

struct SpelledForm {
  std::string_view dialect, open, close;
  std::string_view quote;  // round strings; empty: arguments are Python's
};
constexpr SpelledForm kForms[] = {
    {"gemma4", "<|tool_call>", "<tool_call|>", "<|\"|>"},
    {"function-gemma", "<start_function_call>", "<end_function_call>", "<escape>"},
    {"gemma", "```tool_code", "\n```", ""},
};

const SpelledForm* form_of(const Dialect& dialect) {
  const auto* found = std::find_if(std::begin(kForms), std::end(kForms),
                                   [&](const SpelledForm& form) { return form.dialect == dialect.name; });
  return found == std::end(kForms) ? nullptr : found;
}

// One call without the mark.
grammar::CallForm call_of(const SpelledForm& form) {
  if (form.quote.empty()) {
    return {.before = "\n",
            .between = "(",
            .after = ")" + std::string(form.close),
            .separator = "\n",
            .style = {.syntax = grammar::ValueSyntax::kPython}};
  }
  return {
      .before = "call:",
      .between = "",
      .after = std::string(form.close),
      .style = {.compact = true, .syntax = grammar::ValueSyntax::kMarked, .quote = std::string(form.quote)}};
}

// The names that the parser takes for such.
Status check_names(const SpelledForm& form, const json::array& tools) {
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const std::string name(tools[i].at("function").at("name").as_string());
    constexpr std::string_view kPython = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    const std::size_t wrong =
        form.quote.empty() ? name.find_first_not_of(kPython) : name.find_first_of(" \t\r\n<{\"\\");
    if (!name.empty() && wrong == name.npos) continue;
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this model's calls have no way to spell such a name",
                 .where = "tools[" + std::to_string(i) + "].function.name",
                 .found = name};
  }
  return {};
}

class StrictSpelledCalls final : public engine::TokenConstraint {
 public:
  explicit StrictSpelledCalls(SpelledCallsPtr plan) : plan_(std::move(plan)), watch_(plan_->mark) {}

  void mask(TokenMask mask) override {
    if (!call_) return watch_.mask(mask);
    call_->mask(mask);
    for (const text::TokenId end : plan_->tokenizer->end_tokens()) forbid(mask, end);
  }
  bool accept(text::TokenId token) override {
    if (call_) {
      if (!call_->accept(token)) return false;
      if (call_->finished()) call_.reset();
      return true;
    }
    if (watch_.accept(token)) call_.emplace(plan_->rest, plan_->spelled_table);
    return true;
  }
  bool finished() const override { return false; }

 private:
  SpelledCallsPtr plan_;
  MarkWatch watch_;
  std::optional<grammar::Matcher> call_;  // under way
};

}  // namespace

bool has_spelled_calls(const Dialect& dialect) { return form_of(dialect) != nullptr; }

Result<SpelledCallsPtr> plan_spelled_calls(const Dialect& dialect, const text::Tokenizer& tokenizer,
                                           Grammars& grammars, const json::array& tools) {
  const SpelledForm& form = *form_of(dialect);
  TRY(check_names(form, tools));
  auto plan = std::make_shared<SpelledCalls>();
  plan->mark = watched_mark(std::string(form.open), tokenizer);
  grammar::CallForm calls = call_of(form);
  plan->rest = TRY(grammars.calls(calls, tools));
  calls.before = plan->mark.mark + calls.before;
  plan->one = TRY(grammars.calls(calls, tools));
  calls.many = true;
  plan->many = TRY(grammars.calls(calls, tools));
  if (!form.quote.empty()) {
    plan->text = TRY(grammars.shape(
        {.kind = OutputShape::Kind::kGrammar, .source = unmarked_text(opening_marks(dialect))}));
  }
  plan->table = grammars.table();
  plan->spelled_table = grammars.spelled_table({form.open, form.close, form.quote});
  plan->tokenizer = &tokenizer;
  return SpelledCallsPtr(std::move(plan));
}

std::unique_ptr<engine::TokenConstraint> make_spelled_calls(const SpelledCalls& plan, bool several) {
  return matching({several ? plan.many : plan.one, plan.spelled_table});
}

std::unique_ptr<engine::TokenConstraint> make_strict_spelled_calls(SpelledCallsPtr plan) {
  return std::make_unique<StrictSpelledCalls>(std::move(plan));
}

std::unique_ptr<engine::TokenConstraint> make_spelled_calls_or_text(
    const SpelledCalls& plan, std::unique_ptr<engine::TokenConstraint> text, bool several) {
  std::vector<std::unique_ptr<engine::TokenConstraint>> parts;
  parts.push_back(make_spelled_calls(plan, several));
  parts.push_back(both_of(std::move(text), matching({plan.text, plan.table})));
  return any_of(std::move(parts));
}

}  // namespace maestrale::chat
