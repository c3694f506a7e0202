#include "chat/harmony_constraint.h"

#include <fmt/core.h>

#include "chat/call_free_text.h"
#include "chat/combined_constraint.h"
#include "chat/token_mask.h"
#include "chat/wanted_tools.h"

namespace maestrale::chat {
namespace {

constexpr std::string_view kRecipient = "to=functions.";

struct HarmonyPlan {
  text::TokenId start = 0, channel = 0, message = 0, end = 0, constrain = 0;  // their control tokens
  std::vector<text::TokenId> ends;                                     // of the answer: the tokenizer's
  std::vector<std::pair<std::string, grammar::GrammarPtr>> arguments;  // by function that may be called
  // A header's parts between control tokens. A call's recipient stands in the first or in the second.
  grammar::GrammarPtr recipient;                 // first message: the prompt has its role; null: no calls
  grammar::GrammarPtr role;                      // later messages
  grammar::GrammarPtr channels, quiet_channels;  // with a call's recipient; quiet: no more thoughts
  grammar::GrammarPtr call_channel, call_type;   // where the recipient is known
  grammar::GrammarPtr unmarked;                  // text that spells no mark
  MakeConstraint text;                           // the final message's; empty: as it likes
  grammar::TokenTablePtr table;
  std::int64_t budget = -1;  // most tokens of thought; -1: no limit
  bool begun = false;        // inside the final message
  const text::Tokenizer* tokenizer = nullptr;
};

// [assistant][ to=functions.NAME]<|channel|>CHANNEL[ to=functions.NAME][ json][<|constrain|>json]<|message|>
class Header {
 public:
  Header(const HarmonyPlan& plan, bool first, bool quiet) : plan_(&plan), quiet_(quiet), optional_(first) {
    if (!first || plan.recipient != nullptr) read(first ? plan.recipient : plan.role);
  }

  bool done() const { return part_ == Part::kDone; }
  // Of a finished header: the function that is called, and else the channel.
  std::string_view function() const {
    const std::size_t at = words_.find(kRecipient);
    if (at == words_.npos) return {};
    const std::string_view rest = std::string_view(words_).substr(at + kRecipient.size());
    return rest.substr(0, rest.find(' '));
  }
  std::string_view channel() const {
    const std::string_view words = std::string_view(words_).substr(0, words_.size() - 1);
    return words.substr(words.rfind(' ') + 1);
  }

  void mask(TokenMask mask) {
    if (matcher_) {
      matcher_->mask(mask);
    } else {
      clear_all(mask);
    }
    for (const text::TokenId end : plan_->ends) forbid(mask, end);
    if (!complete()) return;
    allow(mask, part_ == Part::kRole ? plan_->channel : plan_->message);
    if (may_be_typed()) allow(mask, plan_->constrain);
  }

  bool accept(text::TokenId token) {
    const bool ends_part = token == plan_->message || token == plan_->channel || token == plan_->constrain;
    if (!ends_part) {
      optional_ = false;
      text_ += plan_->tokenizer->bytes(token);
      return matcher_ && matcher_->accept(token);
    }
    const bool wanted = token == (part_ == Part::kRole ? plan_->channel : plan_->message);
    if (!complete() || (!wanted && !(token == plan_->constrain && may_be_typed()))) return false;
    words_ += text_ + " ";
    if (token == plan_->message) {
      part_ = Part::kDone;
    } else if (token == plan_->constrain) {
      part_ = Part::kType;
      read(plan_->call_type);
    } else {
      part_ = Part::kChannel;
      read(!function().empty() ? plan_->call_channel : quiet_ ? plan_->quiet_channels : plan_->channels);
    }
    return true;
  }

 private:
  enum class Part { kRole, kChannel, kType, kDone };

  void read(const grammar::GrammarPtr& part) {
    matcher_.emplace(part, plan_->table);
    text_.clear();
    optional_ = optional_ && part_ == Part::kRole;
  }
  bool complete() const { return optional_ || (matcher_ && matcher_->complete()); }
  bool may_be_typed() const {
    return part_ == Part::kChannel && (words_ + text_).find(kRecipient) != words_.npos &&
           !text_.ends_with(" json");
  }

  const HarmonyPlan* plan_;
  Part part_ = Part::kRole;
  std::optional<grammar::Matcher> matcher_;  // of this part
  std::string text_, words_;                 // of this part; of those before
  bool quiet_, optional_;
};

class HarmonyAnswer final : public engine::TokenConstraint {
 public:
  explicit HarmonyAnswer(std::shared_ptr<const HarmonyPlan> plan) : plan_(std::move(plan)) {
    if (plan_->begun) {
      begin_final();
    } else {
      header_.emplace(*plan_, true, spent());
    }
  }

  void mask(TokenMask mask) override {
    if (header_) return header_->mask(mask);
    if (stage_ == Stage::kBetween) return allow_only(mask, plan_->start);
    if (stage_ == Stage::kThoughts && spent()) return allow_only(mask, plan_->end);
    body_->mask(mask);
    if (stage_ == Stage::kThoughts) {
      for (const text::TokenId end : plan_->ends) forbid(mask, end);
    }
    if (stage_ != Stage::kLast) allow(mask, plan_->end);
  }

  bool accept(text::TokenId token) override {
    if (header_) return accept_header(token);
    if (stage_ == Stage::kBetween) {
      if (token != plan_->start) return false;
      header_.emplace(*plan_, false, spent());
      return true;
    }
    if (stage_ != Stage::kLast && token == plan_->end) {
      stage_ = Stage::kBetween;
      return true;
    }
    if (stage_ == Stage::kThoughts && spent()) return false;
    thoughts_ += stage_ == Stage::kThoughts ? 1 : 0;
    return body_->accept(token);
  }

  bool finished() const override { return !header_ && stage_ == Stage::kLast && body_->finished(); }

 private:
  // kLast: the final message, or a call.
  enum class Stage { kThoughts, kPreamble, kLast, kBetween };

  bool spent() const { return plan_->budget >= 0 && thoughts_ >= plan_->budget; }

  bool accept_header(text::TokenId token) {
    if (!header_->accept(token)) return false;
    if (!header_->done()) return true;
    const Header header = std::move(*header_);
    header_.reset();
    if (!header.function().empty()) {
      begin_call(header.function());
    } else if (header.channel() == "final") {
      begin_final();
    } else {
      stage_ = header.channel() == "analysis" ? Stage::kThoughts : Stage::kPreamble;
      body_ = unmarked();
    }
    return true;
  }

  void begin_final() {
    stage_ = Stage::kLast;
    body_ = plan_->text ? both_of(plan_->text(), unmarked()) : unmarked();
  }
  void begin_call(std::string_view function) {
    stage_ = Stage::kLast;
    for (const auto& [name, arguments] : plan_->arguments) {
      if (name == function) body_ = both_of(matching({arguments, plan_->table}), unmarked());
    }
  }
  std::unique_ptr<engine::TokenConstraint> unmarked() const {
    return matching({plan_->unmarked, plan_->table});
  }

  std::shared_ptr<const HarmonyPlan> plan_;
  std::optional<Header> header_;  // while it is written
  Stage stage_ = Stage::kBetween;
  std::unique_ptr<engine::TokenConstraint> body_;
  std::int64_t thoughts_ = 0;  // tokens
};

Status find_marks(HarmonyPlan& plan, const std::string& where) {
  const std::pair<std::string_view, text::TokenId*> marks[] = {{"<|start|>", &plan.start},
                                                               {"<|channel|>", &plan.channel},
                                                               {"<|message|>", &plan.message},
                                                               {"<|end|>", &plan.end},
                                                               {"<|constrain|>", &plan.constrain}};
  for (const auto& [spelling, id] : marks) {
    const auto token = plan.tokenizer->find(spelling);
    if (!token || plan.tokenizer->kind(*token) != text::TokenKind::kControl) {
      return Error{
          .kind = ErrorKind::kUnsupported,
          .what = fmt::format("the vocabulary has no {} to constrain this model's messages with", spelling),
          .where = where};
    }
    *id = *token;
  }
  return {};
}

// The functions that may be called, and the ways to name one in a header.
Result<std::vector<std::string>> add_functions(HarmonyPlan& plan, Grammars& grammars,
                                               const json::array& tools) {
  std::vector<std::string> recipients;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const json::object& function = tools[i].at("function").as_object();
    const std::string name(function.at("name").as_string());
    const std::string where = fmt::format("tools[{}].function", i);
    if (name.empty() || name.find_first_of(" \t\r\n<") != name.npos) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "this model's calls have no way to spell such a name",
                   .where = where + ".name",
                   .found = name};
    }
    plan.arguments.emplace_back(name,
                                TRY(grammars.arguments(function.at("parameters"), function.contains("strict"),
                                                       where + ".parameters")));
    recipients.push_back(std::string(" ") + std::string(kRecipient) + name);
  }
  return recipients;
}

// `speaks`: text is allowed; `preambles`: also before calls.
Status add_headers(HarmonyPlan& plan, Grammars& grammars, const std::vector<std::string>& recipients,
                   bool speaks, bool preambles) {
  std::vector<std::string> roles{"assistant"}, channels;
  if (speaks) channels.push_back("final");
  if (preambles) channels.push_back("commentary");
  for (const std::string& recipient : recipients) {
    roles.push_back("assistant" + recipient);
    for (const char* type : {"", " ", " json"}) channels.push_back("commentary" + recipient + type);
  }
  if (!recipients.empty()) plan.recipient = TRY(grammars.names(recipients));
  plan.role = TRY(grammars.names(roles));
  plan.quiet_channels = TRY(grammars.names(channels));
  channels.push_back("analysis");
  plan.channels = TRY(grammars.names(channels));
  plan.call_channel = TRY(grammars.names({"commentary", "commentary ", "commentary json"}));
  plan.call_type = TRY(grammars.names({"json"}));
  return {};
}

}  // namespace

Result<MakeConstraint> harmony_constraint(const ConstraintPlan& plan, const ChatRequest& request) {
  const OutputShape& shape = request.common.shape;
  const json::array tools = wanted_tools(request);
  const bool forced = !tools.empty() && is_forced(request.tool_choice);
  const bool begun = plan.start == TurnStart::kText;
  MakeConstraint text = TRY(text_constraint(plan, shape));
  if (begun && (text || !any_strict(tools))) return text;
  if (!text && !forced && !any_strict(tools) && request.reasoning_budget < 0) return MakeConstraint();
  auto made = std::make_shared<HarmonyPlan>();
  made->text = std::move(text);
  made->tokenizer = plan.tokenizer;
  made->table = plan.grammars->table();
  made->ends.assign(plan.tokenizer->end_tokens().begin(), plan.tokenizer->end_tokens().end());
  made->budget = request.reasoning_budget;
  made->begun = begun;
  const std::string asked = forced              ? "tool_choice"
                            : any_strict(tools) ? "tools"
                            : made->text        ? shape.where
                                                : "reasoning_budget";
  TRY(find_marks(*made, asked));
  const std::vector<std::string> recipients = TRY(add_functions(*made, *plan.grammars, tools));
  TRY(add_headers(*made, *plan.grammars, recipients, !forced, !forced && !made->text));
  made->unmarked = TRY(
      plan.grammars->shape({.kind = OutputShape::Kind::kGrammar,
                            .source = unmarked_text({"<|start|>", "<|end|>", "<|call|>", "<|return|>"})}));
  return MakeConstraint([shared = std::shared_ptr<const HarmonyPlan>(std::move(made))] {
    return std::make_unique<HarmonyAnswer>(shared);
  });
}

}  // namespace maestrale::chat
