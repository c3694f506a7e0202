#include "text/conversation.h"

#include <fmt/core.h>

#include "text/template/python_json.h"

namespace maestrale::text {
namespace {

Error wrong(std::string what, const std::string& where, std::string expected, std::string found = {}) {
  return Error{
      .what = std::move(what), .where = where, .expected = std::move(expected), .found = std::move(found)};
}

Result<Role> role_of(const JsonFields& message) {
  const std::string name = TRY(message.string("role"));
  if (name == "developer") return Role::kSystem;
  for (const Role role : {Role::kSystem, Role::kUser, Role::kAssistant, Role::kTool}) {
    if (role_name(role) == name) return role;
  }
  return wrong("unknown role", message.where(), "system, developer, user, assistant or tool", name);
}

Result<const json::object*> object_at(const json::value& value, const std::string& where) {
  const json::object* object = value.if_object();
  if (object == nullptr) return wrong("not an object", where, "{...}");
  return object;
}

// The thoughts of a thinking part: a string, or a list of text parts.
Result<std::string> thoughts(const JsonFields& part) {
  const json::value* value = part.find("thinking");
  if (value == nullptr || !value->is_array()) return part.string("thinking");
  std::string text;
  for (const json::value& piece : value->get_array()) {
    text += TRY(JsonFields(*TRY(object_at(piece, part.where())), part.where() + ".thinking").string("text"));
  }
  return text;
}

Result<ContentPart> content_part(const json::value& value, const std::string& where) {
  if (const json::string* text = value.if_string()) return ContentPart{.text = std::string(*text)};
  const JsonFields part(*TRY(object_at(value, where)), where);
  const std::string type = TRY(part.string("type"));
  ContentPart out;
  if (type == "text") {
    out.text = TRY(part.string("text"));
    return out;
  }
  if (type == "thinking") {
    out.kind = ContentPart::Kind::kThinking;
    out.text = TRY(thoughts(part));
    out.closed = TRY(part.boolean_or("closed", true));
    return out;
  }
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "this kind of content is not supported",
               .where = where,
               .expected = "text or thinking",
               .found = type};
}

Result<std::vector<ContentPart>> content_of(const JsonFields& message) {
  std::vector<ContentPart> parts;
  const json::value* content = message.find("content");
  if (content == nullptr || content->is_null()) return parts;
  if (const json::string* text = content->if_string()) {
    if (!text->empty()) parts.push_back({.text = std::string(*text)});
    return parts;
  }
  const json::array& list = *TRY(message.array("content"));
  for (std::size_t i = 0; i < list.size(); ++i) {
    parts.push_back(TRY(content_part(list[i], fmt::format("{}.content[{}]", message.where(), i))));
  }
  return parts;
}

Status add_reasoning(const JsonFields& message, std::vector<ContentPart>& content) {
  const char* field = message.has("reasoning_content") ? "reasoning_content" : "reasoning";
  const std::string reasoning = TRY(message.string_or(field, ""));
  if (reasoning.empty()) return {};
  for (const ContentPart& part : content) {
    if (part.kind == ContentPart::Kind::kThinking) {
      return wrong("the reasoning is given twice", message.where(),
                   fmt::format("{} or a thinking part", field));
    }
  }
  content.insert(content.begin(), {.kind = ContentPart::Kind::kThinking, .text = reasoning});
  return {};
}

Result<ToolCall> tool_call(const json::value& value, const std::string& where) {
  const JsonFields call(*TRY(object_at(value, where)), where);
  const JsonFields function(*TRY(call.object("function")), where + ".function");
  ToolCall out;
  out.id = TRY(call.string_or("id", ""));
  out.name = TRY(function.string("name"));
  out.arguments = "{}";
  const json::value* arguments = function.find("arguments");
  if (arguments == nullptr || arguments->is_null()) return out;
  if (arguments->is_string()) {
    out.arguments = arguments->get_string();
  } else if (arguments->is_object()) {
    out.arguments = python_json(*arguments);
  } else {
    return wrong("unusable arguments", function.where(), "a string or an object");
  }
  return out;
}

Result<Message> message_from(const json::value& value, const std::string& where) {
  const JsonFields fields(*TRY(object_at(value, where)), where);
  Message message;
  message.role = TRY(role_of(fields));
  message.content = TRY(content_of(fields));
  message.tool_call_id = TRY(fields.string_or("tool_call_id", ""));
  message.name = TRY(fields.string_or("name", ""));
  message.prefix = TRY(fields.boolean_or("prefix", false));
  TRY(add_reasoning(fields, message.content));
  if (!fields.has("tool_calls")) return message;
  const json::array& calls = *TRY(fields.array("tool_calls"));
  for (std::size_t i = 0; i < calls.size(); ++i) {
    message.tool_calls.push_back(TRY(tool_call(calls[i], fmt::format("{}.tool_calls[{}]", where, i))));
  }
  return message;
}

Result<ToolDefinition> tool_from(const json::value& value, const std::string& where) {
  const JsonFields tool(*TRY(object_at(value, where)), where);
  const std::string type = TRY(tool.string_or("type", "function"));
  if (type != "function") {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this kind of tool is not supported",
                 .where = where,
                 .expected = "function",
                 .found = type};
  }
  const JsonFields function(*TRY(tool.object("function")), where + ".function");
  ToolDefinition out;
  out.name = TRY(function.string("name"));
  out.description = TRY(function.string_or("description", ""));
  out.has_parameters = function.has("parameters");
  if (out.has_parameters) out.parameters = *TRY(function.object("parameters"));
  return out;
}

}  // namespace

std::string_view role_name(Role role) {
  constexpr std::string_view kNames[] = {"system", "user", "assistant", "tool"};
  return kNames[static_cast<std::size_t>(role)];
}

Result<Conversation> conversation_from_json(const json::value& value, const std::string& where) {
  Conversation out;
  const json::object* object = value.if_object();
  const json::object wrapped = object == nullptr ? json::object{{"messages", value}} : json::object{};
  const JsonFields fields(object == nullptr ? wrapped : *object, where);
  for (const auto& [key, unused] : object == nullptr ? wrapped : *object) {
    if (key != "messages" && key != "tools" && key != "continue_final_message" && key != "reasoning_effort") {
      return wrong("unknown field", where, "messages, tools, continue_final_message or reasoning_effort",
                   std::string(key));
    }
  }
  const json::array& messages = *TRY(fields.array("messages"));
  for (std::size_t i = 0; i < messages.size(); ++i) {
    out.messages.push_back(TRY(message_from(messages[i], fmt::format("{}: messages[{}]", where, i))));
  }
  if (fields.has("tools")) {
    const json::array& tools = *TRY(fields.array("tools"));
    for (std::size_t i = 0; i < tools.size(); ++i) {
      out.tools.push_back(TRY(tool_from(tools[i], fmt::format("{}: tools[{}]", where, i))));
    }
  }
  out.continue_final_message = TRY(fields.boolean_or("continue_final_message", false));
  out.reasoning_effort = TRY(fields.string_or("reasoning_effort", ""));
  return out;
}

}  // namespace maestrale::text
