#include "text/template/mistral.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "text/template/python_json.h"

namespace maestrale::text {
namespace {

using Kind = ContentPart::Kind;

constexpr MistralRules kV1 = {.version = 1, .control_tokens = false, .tools = false, .call_ids = false};
constexpr MistralRules kV2 = {.version = 2, .keeps_old_calls = false, .call_ids = false};
constexpr MistralRules kV3 = {.version = 3};

constexpr MistralRules v7() {
  MistralRules rules = kV3;
  rules.version = 7;
  rules.json_results = false;
  rules.result_ids = rules.system_turns = rules.text_with_calls = true;
  return rules;
}

constexpr MistralRules v11() {
  MistralRules rules = v7();
  rules.version = 11;
  rules.calls_in_parts = rules.strict_ids = true;
  return rules;
}

constexpr MistralRules v13() {
  MistralRules rules = v11();
  rules.version = 13;
  rules.result_ids = false;
  rules.tools_first = rules.thinking = true;
  return rules;
}

constexpr MistralRules v15() {
  MistralRules rules = v13();
  rules.version = 15;
  rules.settings = true;
  return rules;
}

constexpr MistralRules kFormats[] = {kV1, kV2, kV3, v7(), v11(), v13(), v15()};

// The newest format whose control tokens a SentencePiece vocabulary has.
int version_by_vocabulary(const Tokenizer& tokenizer) {
  const auto has = [&](std::string_view spelling) {
    const auto token = tokenizer.find(spelling);
    return token && tokenizer.kind(*token) == TokenKind::kControl;
  };
  if (!has("[INST]")) return 1;
  if (has("[SYSTEM_PROMPT]")) return 7;
  return has("[PREFIX]") ? 3 : 2;
}

bool has_id(const ToolCall& call) { return !call.id.empty() && call.id != "null"; }

// Arguments as JSON: what is none becomes a JSON string.
std::string arguments_json(const ToolCall& call) {
  return python_json_again(call.arguments).value_or(python_json_string(call.arguments));
}

std::string calls_json(const Message& message, bool with_ids) {
  std::string out = "[";
  for (const ToolCall& call : message.tool_calls) {
    if (out.size() > 1) out += ", ";
    out += "{\"name\": " + python_json_string(call.name) + ", \"arguments\": " + arguments_json(call);
    if (with_ids && has_id(call)) out += ", \"id\": " + python_json_string(call.id);
    out += "}";
  }
  return out + "]";
}

std::string text_of(const Message& message) {
  std::string text;
  for (const ContentPart& part : message.content) text += part.text;
  return text;
}

std::string content_json(const Message& result) {
  const std::string text = text_of(result);
  return python_json_again(text).value_or(python_json_string(text));
}

// v3: one result.
std::string result_json(const Message& result) {
  return "{\"content\": " + content_json(result) +
         ", \"call_id\": " + python_json_string(result.tool_call_id) + "}";
}

// v2: neighbouring results in one list, as the library's recorded samples have them (its newer code only
// writes lists of one).
std::string results_json(std::span<const Message> results) {
  std::string out = "[";
  for (const Message& result : results) {
    if (out.size() > 1) out += ", ";
    const std::string name = result.name.empty() ? "null" : python_json_string(result.name);
    out += "{\"name\": " + name + ", \"content\": " + content_json(result) + "}";
  }
  return out + "]";
}

std::string tools_json(const std::vector<ToolDefinition>& tools) {
  std::string out = "[";
  for (const ToolDefinition& tool : tools) {
    if (out.size() > 1) out += ", ";
    out += "{\"type\": \"function\", \"function\": {\"name\": " + python_json_string(tool.name) +
           ", \"description\": " + python_json_string(tool.description) +
           ", \"parameters\": " + python_json(tool.parameters) + "}}";
  }
  return out + "]";
}

std::string without_blanks_at_end(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

// The reasoning effort that goes into the prompt; empty: none.
Result<std::string> resolve_effort(const std::string& wanted, const FormatFacts& facts) {
  if (wanted.empty() && !facts.needs_reasoning_effort) return facts.default_reasoning_effort;
  const auto& known = facts.reasoning_efforts;
  if (std::find(known.begin(), known.end(), wanted) != known.end()) return wanted;
  return Error{.what = wanted.empty() ? "this model needs a reasoning effort"
                                      : "this model does not know that reasoning effort",
               .where = "reasoning_effort",
               .expected = known.empty() ? "none" : fmt::format("{}", fmt::join(known, " or ")),
               .found = wanted};
}

}  // namespace

class MistralFormat::Writer {
 public:
  Writer(const MistralFormat& format, const Conversation& conversation, MistralTurns turns)
      : rules_(*format.rules_),
        tokens_(format.controls_),
        conversation_(conversation),
        turns_(std::move(turns)),
        facts_(format.tokenizer_->format_facts()),
        out_(*format.tokenizer_) {
    const auto& messages = turns_.messages;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (messages[i].role != Role::kUser) continue;
      if (first_user_ == kNowhere) first_user_ = i;
      last_user_ = i;
    }
  }

  Result<Prompt> run() {
    out_.control(tokens_.bos);
    for (std::size_t i = 0; i < turns_.messages.size(); ++i) {
      const Message& message = turns_.messages[i];
      switch (message.role) {
        case Role::kSystem:
          out_.control(tokens_.system);
          TRY(parts(message));
          out_.control(tokens_.system_end);
          break;
        case Role::kUser:
          TRY(question(i));
          break;
        case Role::kAssistant:
          TRY(answer(i));
          break;
        case Role::kTool:
          i = result(i);
          break;
      }
    }
    return out_.take();
  }

 private:
  static constexpr std::size_t kNowhere = ~std::size_t{0};

  Status parts(const Message& message) {
    for (const ContentPart& part : message.content) {
      if (part.kind == Kind::kText) {
        out_.text(part.text);
        continue;
      }
      if (tokens_.think < 0) {
        return Error{.kind = ErrorKind::kUnsupported,
                     .what = "this model's vocabulary has no tokens for thinking",
                     .where = "messages",
                     .expected = "[THINK] and [/THINK]"};
      }
      out_.control(tokens_.think);
      out_.text(part.text);
      if (part.closed) out_.control(tokens_.think_end);
    }
    return {};
  }

  Status question(std::size_t i) {
    const std::size_t with_system = rules_.version == 1 ? first_user_ : last_user_;
    std::string text = text_of(turns_.messages[i]);
    if (i == with_system && !turns_.system.empty()) text = turns_.system + "\n\n" + text;
    if (!rules_.control_tokens) {
      out_.text("[INST] " + text + " [/INST]");
      return {};
    }
    if (i == (rules_.tools_first ? first_user_ : last_user_)) TRY(tools_and_settings());
    out_.control(tokens_.inst);
    out_.text(text);
    out_.control(tokens_.inst_end);
    return {};
  }

  Status tools_and_settings() {
    if (!conversation_.tools.empty()) {
      out_.control(tokens_.tools);
      out_.text(tools_json(conversation_.tools));
      out_.control(tokens_.tools_end);
    }
    if (!rules_.settings) return {};
    const std::string effort = TRY(resolve_effort(conversation_.reasoning_effort, facts_));
    if (effort.empty()) return {};
    out_.control(tokens_.settings);
    out_.text("{\"reasoning_effort\": " + python_json_string(effort) + "}");
    out_.control(tokens_.settings_end);
    return {};
  }

  Status answer(std::size_t i) {
    const Message& message = turns_.messages[i];
    const std::string where = fmt::format("turn {}", i);
    const bool only_text = std::all_of(message.content.begin(), message.content.end(),
                                       [](const ContentPart& part) { return part.kind == Kind::kText; });
    const std::string text = only_text ? text_of(message) : "";
    if (text.empty() && only_text && message.tool_calls.empty())
      return Error{.what = "an answer without content", .where = where, .expected = "content or tool_calls"};
    if (!message.tool_calls.empty() && !message.content.empty() && !rules_.text_with_calls) {
      return Error{
          .kind = ErrorKind::kUnsupported,
          .what = fmt::format("Mistral's format v{} knows no answer with both content and tool_calls",
                              rules_.version),
          .where = where};
    }
    if (!message.tool_calls.empty() && i < last_user_ && last_user_ != kNowhere && !rules_.keeps_old_calls)
      return {};
    if (!only_text) TRY(parts(message));
    if (!text.empty()) out_.text(rules_.control_tokens ? without_blanks_at_end(text) : text);
    calls(message);
    const bool last = i + 1 == turns_.messages.size();
    if (!message.prefix && !(last && conversation_.continue_final_message)) out_.control(tokens_.eos);
    return {};
  }

  void calls(const Message& message) {
    if (message.tool_calls.empty()) return;
    if (!rules_.calls_in_parts) {
      out_.control(tokens_.calls);
      out_.text(calls_json(message, rules_.call_ids));
      return;
    }
    for (const ToolCall& call : message.tool_calls) {
      out_.control(tokens_.calls);
      out_.text(call.name);
      if (tokens_.call_id >= 0 && has_id(call)) {
        out_.control(tokens_.call_id);
        out_.text(call.id);
      }
      out_.control(tokens_.args);
      out_.text(arguments_json(call));
    }
  }

  // Writes the result at `i`, or the results from there on; returns the last one's place.
  std::size_t result(std::size_t i) {
    const Message& message = turns_.messages[i];
    const bool old = i < last_user_ && last_user_ != kNowhere;
    if (old && !rules_.keeps_old_calls) return i;
    out_.control(tokens_.results);
    if (rules_.json_results && !rules_.call_ids) {
      const std::size_t first = i;
      while (i + 1 < turns_.messages.size() && turns_.messages[i + 1].role == Role::kTool) ++i;
      out_.text(results_json(std::span(turns_.messages).subspan(first, i + 1 - first)));
    } else if (rules_.json_results) {
      out_.text(result_json(message));
    } else {
      if (rules_.result_ids) {
        out_.text(message.tool_call_id);
        out_.control(tokens_.content);
      }
      out_.text(text_of(message));
    }
    out_.control(tokens_.results_end);
    return i;
  }

  const MistralRules& rules_;
  const Controls& tokens_;
  const Conversation& conversation_;
  MistralTurns turns_;
  const FormatFacts& facts_;
  PromptWriter out_;
  std::size_t first_user_ = kNowhere, last_user_ = kNowhere;
};

Result<MistralFormat> MistralFormat::of(const Tokenizer& tokenizer, const std::string& where) {
  const std::string& said = tokenizer.format_facts().version;
  const std::string name = said.empty() ? fmt::format("v{}", version_by_vocabulary(tokenizer)) : said;
  const auto rules = std::find_if(std::begin(kFormats), std::end(kFormats), [&](const MistralRules& format) {
    return fmt::format("v{}", format.version) == name;
  });
  if (rules == std::end(kFormats)) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this version of Mistral's prompt format is not supported",
                 .where = where,
                 .expected = "v1, v2, v3, v7, v11, v13 or v15",
                 .found = name};
  }
  MistralFormat format(tokenizer, *rules, where);
  TRY(format.find_controls());
  return format;
}

Status MistralFormat::find_controls() {
  struct Wanted {
    std::string_view spelling;
    TokenId* token;
    bool wanted;
  };
  const MistralRules& rules = *rules_;
  Controls& out = controls_;
  const Wanted list[] = {{"<s>", &out.bos, true},
                         {"</s>", &out.eos, true},
                         {"[INST]", &out.inst, rules.control_tokens},
                         {"[/INST]", &out.inst_end, rules.control_tokens},
                         {"[AVAILABLE_TOOLS]", &out.tools, rules.tools},
                         {"[/AVAILABLE_TOOLS]", &out.tools_end, rules.tools},
                         {"[TOOL_RESULTS]", &out.results, rules.tools},
                         {"[/TOOL_RESULTS]", &out.results_end, rules.tools},
                         {"[TOOL_CALLS]", &out.calls, rules.tools},
                         {"[SYSTEM_PROMPT]", &out.system, rules.system_turns},
                         {"[/SYSTEM_PROMPT]", &out.system_end, rules.system_turns},
                         {"[TOOL_CONTENT]", &out.content, rules.result_ids},
                         {"[ARGS]", &out.args, rules.calls_in_parts},
                         {"[CALL_ID]", &out.call_id, rules.calls_in_parts && rules.result_ids},
                         {"[MODEL_SETTINGS]", &out.settings, rules.settings},
                         {"[/MODEL_SETTINGS]", &out.settings_end, rules.settings}};
  for (const Wanted& control : list) {
    if (control.wanted) *control.token = TRY(control_token(*tokenizer_, control.spelling, where_));
  }
  if (!rules.thinking || !tokenizer_->find("[THINK]")) return {};
  out.think = TRY(control_token(*tokenizer_, "[THINK]", where_));
  out.think_end = TRY(control_token(*tokenizer_, "[/THINK]", where_));
  return {};
}

Result<Prompt> MistralFormat::encode(const Conversation& conversation) const {
  TRY(check_mistral(conversation, *rules_));
  return Writer(*this, conversation, mistral_turns(conversation, *rules_)).run();
}

Result<Prompt> MistralFormat::fill_in(std::string_view prefix, std::string_view suffix) const {
  if (rules_->version == 1) {
    return Error{
        .kind = ErrorKind::kUnsupported, .what = "Mistral's format v1 knows no filling in", .where = where_};
  }
  const TokenId before = TRY(control_token(*tokenizer_, "[PREFIX]", where_));
  const TokenId after = TRY(control_token(*tokenizer_, "[SUFFIX]", where_));
  PromptWriter out(*tokenizer_);
  out.control(controls_.bos);
  out.control(after);
  if (!suffix.empty()) {
    // A letter in front takes the blank that the vocabulary puts before every stretch; both are dropped.
    std::vector<TokenId> tokens = tokenizer_->encode("☺" + std::string(suffix));
    tokens.erase(tokens.begin(), tokens.begin() + std::min<std::ptrdiff_t>(2, std::ssize(tokens)));
    out.tokens(tokens);
  }
  out.control(before);
  out.text(prefix);
  return out.take();
}

}  // namespace maestrale::text
