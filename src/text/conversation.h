// A conversation as every encoder understands it: messages in, whatever API they came from.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace maestrale::text {

enum class Role { kSystem, kUser, kAssistant, kTool };
std::string_view role_name(Role role);

struct ContentPart {
  enum class Kind { kText, kThinking };
  Kind kind = Kind::kText;
  std::string text = {};
  bool closed = true;  // thinking only: whether its end is marked
};

struct ToolCall {
  std::string id = {};  // empty: none
  std::string name = {};
  std::string arguments = {};  // as text, usually a JSON object
};

struct Message {
  Role role = Role::kUser;
  std::vector<ContentPart> content = {};  // no parts: no content
  std::vector<ToolCall> tool_calls = {};  // of an assistant
  std::string tool_call_id = {};          // of a tool's result
  std::string name = {};                  // of the tool
  bool prefix = false;                    // the answer begins with this and is to be gone on with
};

struct ToolDefinition {
  std::string name = {}, description = {};
  json::object parameters = {};  // JSON Schema
  bool has_parameters = false;
};

struct Conversation {
  std::vector<Message> messages;
  std::vector<ToolDefinition> tools;
  bool continue_final_message = false;
  std::string reasoning_effort;  // empty: not said
};

// From the JSON that chat APIs take: {messages, tools?, continue_final_message?, reasoning_effort?} or a bare
// list of messages. Content is a string or a list of {type: "text"} and {type: "thinking"} parts;
// reasoning_content and reasoning become a thinking part before the rest. "developer" counts as system.
Result<Conversation> conversation_from_json(const json::value& value, const std::string& where);

}  // namespace maestrale::text
