// Conversations and tools as OpenAI's API writes them (and Mistral's, with its own additions), put into the
// form that chat templates take.
#pragma once

#include "base/json.h"
#include "chat/request.h"
#include "serve/fields.h"

namespace maestrale::serve {

// {role, content, …}; content parts that are not text are refused by their type. `prefix`: whether the last
// one is an answer to be gone on with, in Mistral's words.
Result<json::array> read_messages(const json::array& messages, bool& prefix);
// {type: "function", function: {name, description?, parameters?, strict?}}
Result<json::array> read_tools(const json::array& tools, const std::string& name = "tools");
// "auto", "none", "required" (Mistral: "any"), {type: "function", function: {name}}, {type: "allowed_tools",
// …}. Removes from `tools` what is not allowed.
Status read_tool_choice(const json::value& choice, json::array& tools, chat::ToolChoice& out);
Status check_named_tool(const json::array& tools, const chat::ToolChoice& choice, const std::string& field);
// Removes the tools that are not named; `path`: the list of names.
Status keep_tools(json::array& tools, const std::vector<std::string>& names, const std::string& path);
bool has_tool(const json::array& tools, std::string_view name);
// The text of a string or of a list of text parts.
Result<std::string> text_of(const json::value& content, const std::string& name);
// A JSON object written as text, as the arguments of a call.
Result<json::object> arguments_of(const json::value& arguments, const std::string& name);
// A tool in the neutral form.
json::object tool(std::string name, std::string description, const json::value* parameters, bool strict);

}  // namespace maestrale::serve
