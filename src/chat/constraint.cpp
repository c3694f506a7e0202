#include "chat/constraint.h"

#include <algorithm>
#include <optional>

#include "chat/call_constraint.h"
#include "chat/combined_constraint.h"
#include "chat/harmony_constraint.h"
#include "chat/plain_calls.h"
#include "chat/spelled_calls.h"
#include "chat/token_mask.h"
#include "chat/wanted_tools.h"

namespace maestrale::chat {
namespace {

// How the thoughts begin and end.
struct Thoughts {
  std::optional<text::TokenId> open;  // the token that begins them, where it is one
  std::string close;                  // ends them
  std::vector<text::TokenId> force;   // written where there have been enough of them
  std::vector<text::TokenId> ends;    // the tokenizer's: not allowed among thoughts
  std::int64_t budget = -1;
  bool begun = false;  // by the prompt
  const text::Tokenizer* tokenizer = nullptr;
};

// Thoughts first, as the model likes, then what `inner` allows (null: anything).
class AfterThoughts final : public engine::TokenConstraint {
 public:
  AfterThoughts(std::shared_ptr<const Thoughts> thoughts, std::unique_ptr<engine::TokenConstraint> inner)
      : thoughts_(std::move(thoughts)), inner_(std::move(inner)) {
    if (thoughts_->begun) stage_ = Stage::kThinking;
  }

  void mask(TokenMask mask) override {
    if (stage_ == Stage::kThinking) {
      if (forced()) return allow_only(mask, thoughts_->force[closing_]);
      for (const text::TokenId end : thoughts_->ends) forbid(mask, end);
      return;
    }
    if (inner_ != nullptr) inner_->mask(mask);
    if (stage_ == Stage::kBefore && thoughts_->open) allow(mask, *thoughts_->open);
  }

  bool accept(text::TokenId token) override {
    if (stage_ == Stage::kThinking) return think(token);
    if (stage_ == Stage::kBefore && thoughts_->open == token) {
      stage_ = Stage::kThinking;
      return true;
    }
    stage_ = Stage::kInner;
    return inner_ == nullptr || inner_->accept(token);
  }

  bool finished() const override {
    return stage_ == Stage::kInner && inner_ != nullptr && inner_->finished();
  }

 private:
  enum class Stage { kBefore, kThinking, kInner };

  bool forced() const { return thoughts_->budget >= 0 && spent_ >= thoughts_->budget; }

  bool think(text::TokenId token) {
    if (forced()) {
      if (token != thoughts_->force[closing_]) return false;
      ++closing_;
    } else {
      ++spent_;
    }
    tail_ += thoughts_->tokenizer->bytes(token);
    const bool closed = tail_.find(thoughts_->close) != std::string::npos;
    if (closed || closing_ == thoughts_->force.size()) stage_ = Stage::kInner;
    if (tail_.size() > thoughts_->close.size()) tail_.erase(0, tail_.size() - thoughts_->close.size());
    return true;
  }

  std::shared_ptr<const Thoughts> thoughts_;
  std::unique_ptr<engine::TokenConstraint> inner_;
  Stage stage_ = Stage::kBefore;
  std::int64_t spent_ = 0;
  std::size_t closing_ = 0;
  std::string tail_;
};

std::shared_ptr<const Thoughts> thoughts_of(const ConstraintPlan& plan, std::int64_t budget) {
  if (plan.dialect == nullptr || plan.start == TurnStart::kText) return nullptr;
  if (plan.dialect->reasoning.empty()) return nullptr;
  const text::Tokenizer& tokenizer = *plan.tokenizer;
  const auto encode = [&tokenizer](std::string_view text) {
    return tokenizer.encode(text, {.add_special = false, .parse_special = true});
  };
  auto out = std::make_shared<Thoughts>();
  out->tokenizer = &tokenizer;
  out->budget = budget;
  out->ends.assign(tokenizer.end_tokens().begin(), tokenizer.end_tokens().end());
  const ReasoningMarks& marks = plan.dialect->reasoning.front();
  out->close = marks.close;
  out->force = encode(marks.close);
  const auto open = encode(marks.open);
  if (open.size() == 1) out->open = open.front();
  out->begun = plan.start == TurnStart::kReasoning;
  return out;
}

Error unsupported(std::string what, std::string where) {
  return Error{.kind = ErrorKind::kUnsupported, .what = std::move(what), .where = std::move(where)};
}

MakeConstraint wrapped(std::shared_ptr<const Thoughts> thoughts, MakeConstraint inner) {
  if (thoughts == nullptr) return inner;
  return [thoughts, inner]() -> std::unique_ptr<engine::TokenConstraint> {
    return std::make_unique<AfterThoughts>(thoughts, inner ? inner() : nullptr);
  };
}

// The same, of a model whose calls begin as any text may.
Result<MakeConstraint> plain_calls_or_text(const ConstraintPlan& plan, const ChatRequest& request) {
  const OutputShape shape = TRY(no_plain_call(*plan.dialect, *plan.grammars, request.common.shape));
  const MakeConstraint text = TRY(text_constraint(plan, shape));
  const PlainCallsPtr calls =
      TRY(plan_plain_calls(*plan.dialect, *plan.tokenizer, *plan.grammars, request.tools));
  return MakeConstraint([calls, text, parallel = request.parallel_calls] {
    return make_plain_calls_or_text(*calls, text(), parallel);
  });
}

// A choice with a mark in it could never be written to its end: the mark begins a call.
Status check_choices(const OutputShape& shape, const grammar::GrammarPtr& unmarked,
                     const grammar::TokenTablePtr& table) {
  for (const std::string& choice : shape.choices) {
    if (grammar::Matcher(unmarked, table).begin_with(choice)) continue;
    return Error{.kind = ErrorKind::kUsage,
                 .what = "a choice spells the mark of a call or of thoughts: not together with tools",
                 .where = shape.where,
                 .found = choice};
  }
  return {};
}

Result<MakeConstraint> spelled_calls_or_text(const ConstraintPlan& plan, const ChatRequest& request,
                                             const MakeConstraint& text) {
  const SpelledCallsPtr calls =
      TRY(plan_spelled_calls(*plan.dialect, *plan.tokenizer, *plan.grammars, request.tools));
  if (calls->text == nullptr)
    return unsupported("calls of this model cannot be told from text: no shape together with tools",
                       request.common.shape.where);
  TRY(check_choices(request.common.shape, calls->text, calls->table));
  return MakeConstraint([calls, text, parallel = request.parallel_calls] {
    return make_spelled_calls_or_text(*calls, text(), parallel);
  });
}

// The answer is calls, or text that keeps the shape.
Result<MakeConstraint> calls_or_text(const ConstraintPlan& plan, const ChatRequest& request,
                                     const MakeConstraint& text) {
  if (has_plain_calls(*plan.dialect)) return plain_calls_or_text(plan, request);
  if (has_spelled_calls(*plan.dialect)) return spelled_calls_or_text(plan, request, text);
  const std::string& where = request.common.shape.where;
  auto calls = plan_calls(*plan.dialect, *plan.tokenizer, *plan.grammars, request.tools);
  if (!calls.ok() && calls.error().where != "tools") return std::move(calls).error();
  if (!calls.ok() || begins_as_call(**calls, *text()))
    return unsupported(
        "calls of this model cannot be told from a text of this shape: not together with tools", where);
  TRY(check_choices(request.common.shape, (*calls)->text, (*calls)->table));
  return MakeConstraint([shared = *calls, text, parallel = request.parallel_calls] {
    return make_calls_or_text(shared, text(), parallel);
  });
}

// What the tools ask for; empty where nothing.
Result<MakeConstraint> calls_constraint(const ConstraintPlan& plan, const ChatRequest& request) {
  const json::array tools = wanted_tools(request);
  const bool forced = is_forced(request.tool_choice);
  if (tools.empty() || (!forced && !any_strict(tools))) return MakeConstraint();
  if (has_plain_calls(*plan.dialect)) {
    const PlainCallsPtr plain = TRY(plan_plain_calls(*plan.dialect, *plan.tokenizer, *plan.grammars, tools));
    if (forced) return MakeConstraint([plain] { return make_plain_calls(*plain, false); });
    return MakeConstraint([plain, several = request.parallel_calls, begun = plan.start == TurnStart::kText] {
      return make_strict_plain_calls(plain, several, begun);
    });
  }
  if (has_spelled_calls(*plan.dialect)) {
    const SpelledCallsPtr spelled =
        TRY(plan_spelled_calls(*plan.dialect, *plan.tokenizer, *plan.grammars, tools));
    if (forced) return MakeConstraint([spelled] { return make_spelled_calls(*spelled, false); });
    return MakeConstraint([spelled] { return make_strict_spelled_calls(spelled); });
  }
  auto calls = plan_calls(*plan.dialect, *plan.tokenizer, *plan.grammars, tools);
  if (!calls.ok()) {
    if (forced && calls.error().where == "tools") calls.error().where = "tool_choice";
    return std::move(calls).error();
  }
  const auto shared = *calls;
  if (forced) return MakeConstraint([shared] { return make_forced_call(shared); });
  return MakeConstraint([shared] { return make_strict_calls(shared); });
}

}  // namespace

Result<MakeConstraint> text_constraint(const ConstraintPlan& plan, const OutputShape& shape) {
  if (shape.kind == OutputShape::Kind::kFree) return MakeConstraint();
  const auto grammar = TRY(plan.grammars->shape(shape));
  const auto table = plan.grammars->table();
  grammar::Matcher first(grammar, table);
  if (!first.begin_with(plan.begun)) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "the answer that is gone on with does not begin as this shape does",
                 .where = shape.where};
  }
  return MakeConstraint([grammar, table, begun = plan.begun] {
    grammar::Matcher matcher(grammar, table);
    (void)matcher.begin_with(begun);
    return matching(std::move(matcher));
  });
}

Result<MakeConstraint> chat_constraint(const ConstraintPlan& plan, const ChatRequest& request) {
  if (plan.dialect != nullptr && plan.dialect->channels) return harmony_constraint(plan, request);
  const OutputShape& shape = request.common.shape;
  MakeConstraint calls = TRY(calls_constraint(plan, request));
  MakeConstraint text = TRY(text_constraint(plan, shape));
  const bool may_call = !request.tools.empty() && request.tool_choice.kind != ToolChoice::Kind::kNone;
  // An answer that has begun with text goes on with it; a forced call is no text.
  if (text && may_call && plan.start != TurnStart::kText && !is_forced(request.tool_choice))
    calls = TRY(calls_or_text(plan, request, text));
  if (text && plan.start == TurnStart::kText) calls = {};
  const auto thoughts = thoughts_of(plan, request.reasoning_budget);
  const bool limited = request.reasoning_budget >= 0 && thoughts != nullptr;
  const MakeConstraint inner = calls ? calls : text;
  if (!inner && !limited) return MakeConstraint();
  return wrapped(thoughts, inner);
}

}  // namespace maestrale::chat
