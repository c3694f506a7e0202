#include "chat/call_constraint.h"

#include <fmt/core.h>

#include <boost/json/serialize.hpp>

#include "chat/call_free_text.h"
#include "chat/combined_constraint.h"

namespace maestrale::chat {
namespace {

// How a dialect writes one call; `mark` is the beginning of `before` that no other text has.
struct Frame {
  std::string_view dialect, needs, mark, before, between, after;
  std::optional<std::string_view> separator = {};  // between two calls; nothing: there is only one
};

// `needs`: a token that the vocabulary must have. The first row that fits.
constexpr Frame kFrames[] = {
    {"hermes", "", "<tool_call>", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>",
     "\n"},
    {"mistral", "[ARGS]", "[TOOL_CALLS]", "[TOOL_CALLS]", "[ARGS]", "", ""},
    {"mistral", "", "[TOOL_CALLS]", "[TOOL_CALLS][{\"name\": \"", "\", \"arguments\": ", "}]"},
    {"deepseek", "", "<｜tool▁call▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n",
     "\n```<｜tool▁call▁end｜>", "\n"},
};

class CallSequence {
 public:
  // `first`: the tokens of the plan with which it begins.
  CallSequence(std::shared_ptr<const CallPlan> plan, std::vector<text::TokenId> CallPlan::*first)
      : plan_(std::move(plan)), literal_(&((*plan_).*first)), names_(plan_->names, plan_->table) {
    skip_empty();
  }

  bool done() const { return stage_ == Stage::kDone; }

  void mask(TokenMask mask) {
    switch (stage_) {
      case Stage::kBefore:
      case Stage::kBetween:
      case Stage::kAfter:
        return allow_only(mask, (*literal_)[at_]);
      case Stage::kName:
        names_.mask(mask);
        for (const text::TokenId end : plan_->ends) forbid(mask, end);
        if (names_.complete()) allow(mask, plan_->between.front());
        return;
      case Stage::kArguments:
        arguments_->mask(mask);
        if (plan_->after.empty()) return;
        for (const text::TokenId end : plan_->ends) forbid(mask, end);
        if (arguments_->complete()) allow(mask, plan_->after.front());
        return;
      case Stage::kDone:
        return;
    }
  }

  bool accept(text::TokenId token) {
    switch (stage_) {
      case Stage::kBefore:
      case Stage::kBetween:
      case Stage::kAfter:
        if (token != (*literal_)[at_]) return false;
        ++at_;
        skip_empty();
        return true;
      case Stage::kName:
        return accept_name(token);
      case Stage::kArguments:
        return accept_argument(token);
      case Stage::kDone:
        break;
    }
    return false;
  }

 private:
  enum class Stage { kBefore, kName, kBetween, kArguments, kAfter, kDone };

  void skip_empty() {
    if (literal_ == nullptr || at_ < literal_->size()) return;
    literal_ = nullptr;
    if (stage_ == Stage::kBefore) stage_ = Stage::kName;
    if (stage_ == Stage::kBetween) begin_arguments();
    if (stage_ == Stage::kAfter) stage_ = Stage::kDone;
  }

  void begin(Stage stage, const std::vector<text::TokenId>& literal) {
    stage_ = stage;
    literal_ = &literal;
    at_ = 0;
    skip_empty();
  }

  void begin_arguments() {
    stage_ = Stage::kArguments;
    for (const auto& [name, grammar] : plan_->arguments) {
      if (name == name_) arguments_.emplace(grammar, plan_->table);
    }
  }

  bool accept_name(text::TokenId token) {
    if (names_.complete() && token == plan_->between.front()) {
      begin(Stage::kBetween, plan_->between);
      return accept(token);
    }
    name_ += plan_->tokenizer->bytes(token);
    return names_.accept(token);
  }

  bool accept_argument(text::TokenId token) {
    if (!plan_->after.empty() && arguments_->complete() && token == plan_->after.front()) {
      begin(Stage::kAfter, plan_->after);
      return accept(token);
    }
    if (!arguments_->accept(token)) return false;
    if (arguments_->finished()) begin(Stage::kAfter, plan_->after);
    return true;
  }

  std::shared_ptr<const CallPlan> plan_;
  const std::vector<text::TokenId>* literal_;
  std::size_t at_ = 0;
  Stage stage_ = Stage::kBefore;
  grammar::Matcher names_;
  std::optional<grammar::Matcher> arguments_;
  std::string name_;
};

class ForcedCall final : public engine::TokenConstraint {
 public:
  explicit ForcedCall(std::shared_ptr<const CallPlan> plan) : call_(std::move(plan), &CallPlan::before) {}
  void mask(TokenMask mask) override { call_.mask(mask); }
  bool accept(text::TokenId token) override { return call_.accept(token); }
  bool finished() const override { return call_.done(); }

 private:
  CallSequence call_;
};

class CallsOrText final : public engine::TokenConstraint {
 public:
  CallsOrText(std::shared_ptr<const CallPlan> plan, std::unique_ptr<engine::TokenConstraint> text,
              bool parallel)
      : plan_(std::move(plan)), text_(std::move(text)), parallel_(parallel && !plan_->next.empty()) {}

  void mask(TokenMask mask) override {
    if (call_) return call_->mask(mask);
    if (called_) {
      clear_all(mask);
      for (const text::TokenId end : plan_->ends) allow(mask, end);
      if (parallel_) allow(mask, plan_->next.front());
      return;
    }
    text_->mask(mask);
    if (!speaks_) allow(mask, plan_->before.front());
  }

  bool accept(text::TokenId token) override {
    if (!call_ && called_) {
      if (!parallel_) return false;
      call_.emplace(plan_, &CallPlan::next);
    } else if (!call_ && !speaks_ && token == plan_->before.front()) {
      call_.emplace(plan_, &CallPlan::before);
      called_ = true;
    }
    if (!call_) {
      speaks_ = true;
      return text_->accept(token);
    }
    const bool allowed = call_->accept(token);
    if (call_->done()) call_.reset();
    return allowed;
  }

  bool finished() const override { return called_ ? !call_ && !parallel_ : speaks_ && text_->finished(); }

 private:
  std::shared_ptr<const CallPlan> plan_;
  std::unique_ptr<engine::TokenConstraint> text_;
  std::optional<CallSequence> call_;  // under way
  bool parallel_;
  bool called_ = false, speaks_ = false;  // what the answer has become
};

class StrictCalls final : public engine::TokenConstraint {
 public:
  explicit StrictCalls(std::shared_ptr<const CallPlan> plan) : plan_(std::move(plan)), watch_(plan_->mark) {}
  void mask(TokenMask mask) override { return call_ ? call_->mask(mask) : watch_.mask(mask); }
  bool accept(text::TokenId token) override {
    if (call_) {
      const bool allowed = call_->accept(token);
      if (call_->done()) call_.reset();
      return allowed;
    }
    if (watch_.accept(token)) call_.emplace(plan_, &CallPlan::before_rest);
    return true;
  }
  bool finished() const override { return false; }

 private:
  std::shared_ptr<const CallPlan> plan_;
  MarkWatch watch_;
  std::optional<CallSequence> call_;
};

const Frame* frame_of(const Dialect& dialect, const text::Tokenizer& tokenizer) {
  for (const Frame& frame : kFrames) {
    if (frame.dialect == dialect.name && (frame.needs.empty() || tokenizer.find(frame.needs))) return &frame;
  }
  return nullptr;
}

// As it stands inside a JSON string.
std::string escaped(const std::string& name) {
  const std::string quoted = json::serialize(json::value(name));
  return quoted.substr(1, quoted.size() - 2);
}

std::string spelled(const text::Tokenizer& tokenizer, std::span<const text::TokenId> tokens) {
  std::string out;
  for (const text::TokenId token : tokens) out += tokenizer.bytes(token);
  return out;
}

// Tokens that spell `text` within other text: some families put a blank before whatever they encode. Empty
// where there are none.
std::vector<text::TokenId> tokens_inside(const text::Tokenizer& tokenizer, std::string_view text) {
  for (const char* anchor : {"", "a", "\n", "}", "."}) {
    const auto tokens =
        tokenizer.encode(anchor + std::string(text), {.add_special = false, .parse_special = true});
    for (std::size_t cut = 0; cut <= tokens.size(); ++cut) {
      const std::span<const text::TokenId> rest = std::span(tokens).subspan(cut);
      if (spelled(tokenizer, rest) == text) return {rest.begin(), rest.end()};
    }
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const CallPlan>> plan_calls(const Dialect& dialect, const text::Tokenizer& tokenizer,
                                                   Grammars& grammars, const json::array& tools) {
  const Frame* frame = frame_of(dialect, tokenizer);
  if (frame == nullptr) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "calls of this model cannot be forced or held to a schema",
                 .where = "tools"};
  }
  auto plan = std::make_shared<CallPlan>();
  plan->before = tokens_inside(tokenizer, frame->before);
  plan->before_rest = tokens_inside(tokenizer, frame->before.substr(frame->mark.size()));
  if (frame->separator)
    plan->next = tokens_inside(tokenizer, std::string(*frame->separator) + std::string(frame->before));
  plan->between = tokens_inside(tokenizer, frame->between);
  plan->after = tokens_inside(tokenizer, frame->after);
  if (plan->before.empty() || plan->between.empty() || plan->after.empty() != frame->after.empty()) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "the vocabulary cannot spell this model's calls",
                 .where = "tools"};
  }
  plan->mark = watched_mark(std::string(frame->mark), tokenizer);
  plan->text = TRY(
      grammars.shape({.kind = OutputShape::Kind::kGrammar, .source = unmarked_text(opening_marks(dialect))}));
  plan->ends.assign(tokenizer.end_tokens().begin(), tokenizer.end_tokens().end());
  plan->tokenizer = &tokenizer;
  plan->table = grammars.table();
  std::vector<std::string> names;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const json::object& function = tools[i].at("function").as_object();
    const std::string name = escaped(std::string(function.at("name").as_string()));
    const bool strict = function.contains("strict");
    const std::string where = fmt::format("tools[{}].function.parameters", i);
    plan->arguments.emplace_back(name, TRY(grammars.arguments(function.at("parameters"), strict, where)));
    names.push_back(name);
  }
  plan->names = TRY(grammars.names(names));
  return std::shared_ptr<const CallPlan>(std::move(plan));
}

std::unique_ptr<engine::TokenConstraint> make_forced_call(std::shared_ptr<const CallPlan> plan) {
  return std::make_unique<ForcedCall>(std::move(plan));
}

std::unique_ptr<engine::TokenConstraint> make_calls_or_text(std::shared_ptr<const CallPlan> plan,
                                                            std::unique_ptr<engine::TokenConstraint> text,
                                                            bool parallel) {
  auto unmarked = both_of(std::move(text), matching({plan->text, plan->table}));
  return std::make_unique<CallsOrText>(std::move(plan), std::move(unmarked), parallel);
}

bool begins_as_call(const CallPlan& plan, engine::TokenConstraint& text) {
  const auto first = static_cast<std::size_t>(plan.before.front());
  std::vector<std::uint64_t> mask(static_cast<std::size_t>(plan.tokenizer->size()) / 64 + 1,
                                  ~std::uint64_t{0});
  text.mask(mask);
  return (mask[first / 64] >> (first % 64) & 1) != 0;
}

std::unique_ptr<engine::TokenConstraint> make_strict_calls(std::shared_ptr<const CallPlan> plan) {
  return std::make_unique<StrictCalls>(std::move(plan));
}

}  // namespace maestrale::chat
