#include "text/template/harmony.h"

#include <fmt/core.h>

#include <algorithm>

namespace maestrale::text {
namespace {

using Kind = ContentPart::Kind;

constexpr std::string_view kConstrain = "<|constrain|>";
constexpr std::string_view kFunctions = "functions.";

std::string parts_text(const Message& message, Kind kind) {
  std::string text;
  for (const ContentPart& part : message.content) {
    if (part.kind == kind) text += part.text;
  }
  return text;
}

Status check_effort(const std::string& effort) {
  if (effort == "low" || effort == "medium" || effort == "high") return {};
  return Error{.what = "this model does not know that reasoning effort",
               .where = "reasoning_effort",
               .expected = "low, medium or high",
               .found = effort};
}

// The name of the function whose call has this id, looked for backwards from `before`.
std::string called_function(const Conversation& conversation, std::size_t before, const std::string& id) {
  for (std::size_t i = before; i-- > 0;) {
    const auto& calls = conversation.messages[i].tool_calls;
    for (const ToolCall& call : calls) {
      if (call.id == id || (id.empty() && calls.size() == 1)) return call.name;
    }
  }
  return "";
}

void add_answer(const Message& message, bool with_thoughts, std::vector<HarmonyMessage>& out) {
  const std::string thoughts = parts_text(message, Kind::kThinking);
  const std::string text = parts_text(message, Kind::kText);
  if (!thoughts.empty() && with_thoughts)
    out.push_back({.author = "assistant", .text = thoughts, .channel = "analysis"});
  const bool calls = !message.tool_calls.empty();
  if (!text.empty() || !calls)
    out.push_back({.author = "assistant", .text = text, .channel = calls ? "commentary" : "final"});
  for (const ToolCall& call : message.tool_calls) {
    out.push_back({.author = "assistant",
                   .text = call.arguments,
                   .recipient = std::string(kFunctions) + call.name,
                   .channel = "commentary",
                   .content_type = std::string(kConstrain) + "json"});
  }
}

bool goes_on(const Conversation& conversation) {
  const Message& last = conversation.messages.back();
  return last.role == Role::kAssistant && (last.prefix || conversation.continue_final_message);
}

}  // namespace

Result<std::vector<HarmonyMessage>> harmony_messages(const Conversation& conversation, HarmonySystem system) {
  const auto& messages = conversation.messages;
  if (messages.empty())
    return Error{
        .what = "the conversation is empty", .where = "messages", .expected = "at least one message"};
  if (!conversation.reasoning_effort.empty()) system.reasoning_effort = conversation.reasoning_effort;
  TRY(check_effort(system.reasoning_effort));
  std::string instructions;
  std::size_t answered = 0;  // thoughts before this message are over
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == Role::kAssistant && messages[i].tool_calls.empty()) answered = i + 1;
    if (messages[i].role != Role::kSystem) continue;
    if (!instructions.empty()) instructions += "\n\n";
    instructions += parts_text(messages[i], Kind::kText);
  }
  std::vector<HarmonyNamespace> tools;
  if (!conversation.tools.empty()) tools.push_back({.name = "functions", .tools = conversation.tools});
  std::vector<HarmonyMessage> out;
  out.push_back({.author = "system", .text = harmony_system_text(system, !tools.empty())});
  const std::string developer = harmony_developer_text(instructions, tools);
  if (!developer.empty()) out.push_back({.author = "developer", .text = developer});
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    if (message.role == Role::kUser) {
      out.push_back({.author = "user", .text = parts_text(message, Kind::kText)});
    } else if (message.role == Role::kAssistant) {
      add_answer(message, i >= answered, out);
    } else if (message.role == Role::kTool) {
      const std::string found = called_function(conversation, i, message.tool_call_id);
      const std::string& name = found.empty() ? message.name : found;
      if (name.empty()) {
        return Error{.what = "a result of no call",
                     .where = fmt::format("messages[{}]", i),
                     .expected = "the id of a call before it",
                     .found = message.tool_call_id};
      }
      out.push_back({.author = std::string(kFunctions) + name,
                     .text = parts_text(message, Kind::kText),
                     .recipient = "assistant",
                     .channel = "commentary"});
    }
  }
  return out;
}

Result<HarmonyFormat> HarmonyFormat::of(const Tokenizer& tokenizer, const std::string& where) {
  Controls controls;
  controls.start = TRY(control_token(tokenizer, "<|start|>", where));
  controls.message = TRY(control_token(tokenizer, "<|message|>", where));
  controls.end = TRY(control_token(tokenizer, "<|end|>", where));
  controls.call = TRY(control_token(tokenizer, "<|call|>", where));
  controls.channel = TRY(control_token(tokenizer, "<|channel|>", where));
  controls.constrain = TRY(control_token(tokenizer, kConstrain, where));
  return HarmonyFormat(tokenizer, controls);
}

void HarmonyFormat::write(const HarmonyMessage& message, bool open, PromptWriter& out) const {
  out.control(controls_.start);
  out.text(message.author);
  if (!message.recipient.empty() && message.recipient != "all") out.text(" to=" + message.recipient);
  if (!message.channel.empty()) {
    out.control(controls_.channel);
    out.text(message.channel);
  }
  std::string_view type = message.content_type;
  if (type.starts_with(kConstrain)) {
    out.text(" ");
    out.control(controls_.constrain);
    out.text(type.substr(kConstrain.size()));
  } else if (!type.empty()) {
    out.text(" " + message.content_type);
  }
  out.control(controls_.message);
  out.text(message.text);
  if (open) return;
  const bool call = message.author == "assistant" && !message.recipient.empty();
  out.control(call ? controls_.call : controls_.end);
}

Prompt HarmonyFormat::render(std::span<const HarmonyMessage> messages, const Options& options) const {
  const auto is_final = [](const HarmonyMessage& message) { return message.channel == "final"; };
  const auto first_final = std::find_if(messages.begin(), messages.end(), is_final);
  const auto last = std::find_if(messages.rbegin(), messages.rend(),
                                 [](const HarmonyMessage& message) { return message.author == "assistant"; });
  const bool drop = options.drop_analysis && last != messages.rend() && is_final(*last);
  PromptWriter out(*tokenizer_);
  for (auto message = messages.begin(); message != messages.end(); ++message) {
    if (drop && message < first_final && message->channel == "analysis") continue;
    write(*message, options.last_is_open && message + 1 == messages.end(), out);
  }
  if (options.for_completion && !options.last_is_open) {
    out.control(controls_.start);
    out.text("assistant");
  }
  return out.take();
}

Result<Prompt> HarmonyFormat::encode(const Conversation& conversation, const HarmonySystem& system) const {
  const auto messages = TRY(harmony_messages(conversation, system));
  return render(messages, {.last_is_open = goes_on(conversation)});
}

}  // namespace maestrale::text
