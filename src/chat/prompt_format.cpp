#include "chat/prompt_format.h"

#include <fmt/core.h>

#include <ctime>

#include "text/template/continued.h"

namespace maestrale::chat {
namespace {

bool has_control(const text::Tokenizer& tokenizer, std::string_view spelling) {
  const auto token = tokenizer.find(spelling);
  return token && tokenizer.kind(*token) == text::TokenKind::kControl;
}

bool is_mistral(const files::Checkpoint& checkpoint) {
  const text::Tokenizer& tokenizer = *checkpoint.tokenizer;
  return checkpoint.dialect == files::Dialect::kMistral || !tokenizer.format_facts().version.empty() ||
         (has_control(tokenizer, "[INST]") && has_control(tokenizer, "[TOOL_CALLS]"));
}

// The conversation among a template's variables; what only a template could use is refused.
Result<text::Conversation> conversation_of(const json::object& variables) {
  json::object conversation;
  for (const auto& [key, value] : variables) {
    if (key == "messages" || key == "tools" || key == "continue_final_message" || key == "reasoning_effort") {
      conversation[key] = value;
    } else if (key != "bos_token" && key != "eos_token" && key != "add_generation_prompt" &&
               !value.is_null()) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "this model's prompt format does not know that variable",
                   .where = "conversation",
                   .found = std::string(key)};
    }
  }
  return text::conversation_from_json(conversation, "conversation");
}

std::string date_of(const text::RenderClock& clock) {
  const std::time_t now = clock.unix_seconds != 0 ? clock.unix_seconds : std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

}  // namespace

Result<PromptFormat> PromptFormat::of(const files::Checkpoint& checkpoint, std::string_view template_source,
                                      const std::string& where) {
  const text::Tokenizer& tokenizer = *checkpoint.tokenizer;
  const std::string_view source = template_source.empty() ? checkpoint.chat_template : template_source;
  if (!source.empty()) {
    return PromptFormat(TRY(text::ChatTemplate::parse(source, where)), tokenizer,
                        dialect_of(source, &tokenizer));
  }
  if (is_mistral(checkpoint))
    return PromptFormat(TRY(text::MistralFormat::of(tokenizer, where)), tokenizer, *find_dialect("mistral"));
  if (has_control(tokenizer, "<|start|>") && has_control(tokenizer, "<|channel|>"))
    return PromptFormat(TRY(text::HarmonyFormat::of(tokenizer, where)), tokenizer, *find_dialect("harmony"));
  return Error{.kind = ErrorKind::kNotFound,
               .what = "the model comes without a chat template",
               .where = checkpoint.path.string(),
               .hint = "give one with --template FILE, or continue plain text with `maestrale generate`"};
}

Result<text::Prompt> PromptFormat::prompt(const json::object& variables,
                                          const text::RenderClock& clock) const {
  if (const auto* chat_template = std::get_if<text::ChatTemplate>(&way_)) {
    text::Prompt out;
    out.text = TRY(text::render_conversation(*chat_template, variables, clock));
    // The template writes the model's special tokens, BOS included, as text.
    out.tokens = tokenizer_->encode(out.text, {.add_special = false, .parse_special = true});
    return out;
  }
  const text::Conversation conversation = TRY(conversation_of(variables));
  if (const auto* mistral = std::get_if<text::MistralFormat>(&way_)) return mistral->encode(conversation);
  return std::get<text::HarmonyFormat>(way_).encode(conversation, {.date = date_of(clock)});
}

}  // namespace maestrale::chat
