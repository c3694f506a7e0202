// What a request says about tools, as constraints need it.
#pragma once

#include <algorithm>

#include "chat/request.h"

namespace maestrale::chat {

inline bool is_forced(const ToolChoice& choice) {
  return choice.kind == ToolChoice::Kind::kRequired || choice.kind == ToolChoice::Kind::kNamed;
}

inline bool any_strict(const json::array& tools) {
  return std::any_of(tools.begin(), tools.end(), [](const json::value& tool) {
    return tool.at("function").as_object().contains("strict");
  });
}

// The tools that may be called.
inline json::array wanted_tools(const ChatRequest& request) {
  using Kind = ToolChoice::Kind;
  const ToolChoice& choice = request.tool_choice;
  json::array out;
  for (const json::value& tool : request.tools) {
    const bool named = tool.at("function").at("name").as_string() == choice.name;
    if (choice.kind != Kind::kNone && (choice.kind != Kind::kNamed || named)) out.push_back(tool);
  }
  return out;
}

}  // namespace maestrale::chat
