// gpt-oss's prompt format, token for token as OpenAI's library renders it:
// https://github.com/openai/harmony. Channels: analysis (thoughts), commentary (calls), final (the answer).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "text/conversation.h"
#include "text/template/prompt.h"

namespace maestrale::text {

struct HarmonyNamespace {
  std::string name;
  std::string description = {};
  std::vector<ToolDefinition> tools = {};
};

struct HarmonySystem {
  std::string identity = "You are ChatGPT, a large language model trained by OpenAI.";
  std::string knowledge_cutoff = "2024-06";
  std::string date = {};  // YYYY-MM-DD; empty: not said
  std::string reasoning_effort = "medium";
  std::vector<HarmonyNamespace> tools = {};  // the model's built-in ones, by name
  std::vector<std::string> channels = {"analysis", "commentary", "final"};
};
// `with_functions`: the developer message offers functions.
std::string harmony_system_text(const HarmonySystem& system, bool with_functions);
// Instructions and functions of a developer; both may be empty.
std::string harmony_developer_text(const std::string& instructions,
                                   const std::vector<HarmonyNamespace>& tools);
// JSON Schema as the TypeScript-like type that the model was taught.
std::string harmony_type(const json::value& schema, const std::string& indent = "");

struct HarmonyMessage {
  std::string author;  // system, developer, user, assistant or a tool's name, such as functions.weather
  std::string text;
  std::string recipient = {}, channel = {};
  std::string content_type = {};  // "<|constrain|>json", "code"
};

class HarmonyFormat {
 public:
  static Result<HarmonyFormat> of(const Tokenizer& tokenizer, const std::string& where);

  // The prompt of a conversation. Thoughts stay while a call is under way and go once there is an answer.
  Result<Prompt> encode(const Conversation& conversation, const HarmonySystem& system = {}) const;

  struct Options {
    bool drop_analysis = false;  // thoughts before the first answer, if the last thing said is an answer
    bool for_completion = true;  // the assistant speaks next
    bool last_is_open = false;   // the last message goes on
  };
  Prompt render(std::span<const HarmonyMessage> messages, const Options& options) const;

 private:
  struct Controls {
    TokenId start = -1, message = -1, end = -1, call = -1, channel = -1, constrain = -1;
  };
  HarmonyFormat(const Tokenizer& tokenizer, const Controls& controls)
      : tokenizer_(&tokenizer), controls_(controls) {}
  void write(const HarmonyMessage& message, bool open, PromptWriter& out) const;

  const Tokenizer* tokenizer_;
  Controls controls_;
};

// The messages that a conversation becomes; public for its tests.
Result<std::vector<HarmonyMessage>> harmony_messages(const Conversation& conversation, HarmonySystem system);

}  // namespace maestrale::text
