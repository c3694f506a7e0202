#include "serve/dialects/messages.h"

#include <fmt/core.h>

#include <algorithm>

namespace maestrale::serve {
namespace {

constexpr std::size_t kMaxNesting = 64;

// One part of a content list: text goes to `text`, thoughts to `reasoning`.
Status read_part(const json::value& value, const std::string& name, std::string& text,
                 std::string& reasoning) {
  Fields part = TRY(Fields::of(value, name));
  const std::string type = TRY(part.required_string("type"));
  if (type == "text") {
    text += TRY(part.required_string("text"));
    part.skip("cache_control");  // what is cached is found by its content
    return part.done();
  }
  if (type == "refusal") {
    text += TRY(part.required_string("refusal"));
    return part.done();
  }
  if (type == "thinking") {  // Mistral's
    (void)TRY(part.boolean("closed"));
    const json::value* thoughts = part.value("thinking");
    if (thoughts == nullptr) return part.missing("thinking");
    reasoning += TRY(text_of(*thoughts, part.name("thinking")));
    return part.done();
  }
  return unsupported_field(part.name("type"), fmt::format("content of type '{}' is not supported", type));
}

Status read_content(Fields& message, json::object& out) {
  const json::value* content = message.value("content");
  std::string text, reasoning;
  if (content == nullptr) {
    out["content"] = "";
    return {};
  }
  if (const json::string* plain = content->if_string()) {
    out["content"] = *plain;
    return {};
  }
  if (!content->is_array()) return message.wrong("content", "a string or an array of parts");
  const json::array& parts = content->get_array();
  for (std::size_t i = 0; i < parts.size(); ++i)
    TRY(read_part(parts[i], element(message.name("content"), i), text, reasoning));
  out["content"] = text;
  if (!reasoning.empty()) out["reasoning_content"] = reasoning;
  return {};
}

Result<json::object> read_call(const json::value& value, const std::string& name) {
  Fields call = TRY(Fields::of(value, name));
  TRY(call.only("type", {"function"}, "only functions can be called"));
  const std::string id = TRY(call.string("id")).value_or("");
  (void)TRY(call.integer("index", 0, 1 << 20));
  const json::object* function = TRY(call.object("function"));
  if (function == nullptr) return call.missing("function");
  TRY(call.done());
  Fields inner(*function, call.name("function") + ".");
  json::object made{{"name", TRY(inner.required_string("name"))}, {"arguments", json::object()}};
  if (const json::value* arguments = inner.value("arguments"))
    made["arguments"] = TRY(arguments_of(*arguments, inner.name("arguments")));
  TRY(inner.done());
  return json::object{{"id", id}, {"type", "function"}, {"function", std::move(made)}};
}

Status read_assistant(Fields& message, json::object& out, bool& prefix) {
  prefix = TRY(message.boolean("prefix")).value_or(false);
  for (const char* field : {"reasoning_content", "reasoning"}) {
    if (const auto thoughts = TRY(message.string(field))) out["reasoning_content"] = *thoughts;
  }
  TRY(message.refuse("audio", "there is no sound"));
  TRY(message.refuse("function_call", "use tool_calls"));
  if (const auto refusal = TRY(message.string("refusal"))) out["content"] = *refusal;
  message.skip("annotations");
  const json::array* calls = TRY(message.array("tool_calls"));
  if (calls == nullptr || calls->empty()) return {};
  json::array made;
  for (std::size_t i = 0; i < calls->size(); ++i)
    made.push_back(TRY(read_call((*calls)[i], element(message.name("tool_calls"), i))));
  out["tool_calls"] = std::move(made);
  return {};
}

Result<json::object> read_message(const json::value& value, const std::string& name, bool& prefix) {
  Fields message = TRY(Fields::of(value, name));
  std::string role = TRY(message.required_string("role"));
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant" && role != "tool")
    return message.wrong("role", "system, developer, user, assistant or tool");
  json::object out{{"role", role}};
  TRY(read_content(message, out));
  if (const auto called = TRY(message.string("name"))) out["name"] = *called;
  if (role == "assistant") TRY(read_assistant(message, out, prefix));
  if (role == "tool") {
    const auto id = TRY(message.string("tool_call_id"));
    if (!id) return message.missing("tool_call_id");
    out["tool_call_id"] = *id;
  }
  TRY(message.done());
  return out;
}

// {mode: "auto" | "required", tools: [{type: "function", function: {name}}]}
Status read_allowed(const json::value& value, json::array& tools, chat::ToolChoice& out) {
  Fields allowed = TRY(Fields::of(value, "tool_choice.allowed_tools"));
  const std::string mode = TRY(allowed.required_string("mode"));
  if (mode != "auto" && mode != "required") return allowed.wrong("mode", "auto or required");
  if (mode == "required") out.kind = chat::ToolChoice::Kind::kRequired;
  const json::array* named = TRY(allowed.array("tools"));
  if (named == nullptr) return allowed.missing("tools");
  TRY(allowed.done());
  std::vector<std::string> names;
  const std::string path = "tool_choice.allowed_tools.tools";
  for (std::size_t i = 0; i < named->size(); ++i) {
    Fields entry = TRY(Fields::of((*named)[i], element(path, i)));
    const json::object* function = TRY(entry.object("function"));
    if (function == nullptr) return entry.missing("function");
    Fields inner(*function, element(path, i) + ".function.");
    names.push_back(TRY(inner.required_string("name")));
  }
  return keep_tools(tools, names, path);
}

}  // namespace

Result<std::string> text_of(const json::value& content, const std::string& name) {
  if (const json::string* text = content.if_string()) return std::string(*text);
  if (!content.is_array())
    return bad_field(name, "unusable content", "a string or an array of text parts", kind_of(content));
  std::string text, reasoning;
  const json::array& parts = content.get_array();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string path = element(name, i);
    Fields part = TRY(Fields::of(parts[i], path));
    const std::string type = TRY(part.required_string("type"));
    if (type != "text")
      return unsupported_field(path + ".type",
                               fmt::format("content of type '{}' is not supported here", type));
    text += TRY(part.required_string("text"));
    part.skip("cache_control");
    part.skip("citations");
    TRY(part.done());
  }
  return text;
}

Result<json::object> arguments_of(const json::value& arguments, const std::string& name) {
  if (const json::object* object = arguments.if_object()) return *object;
  const json::string* text = arguments.if_string();
  if (text == nullptr)
    return bad_field(name, "unusable arguments", "a JSON object as text", kind_of(arguments));
  if (text->empty()) return json::object();
  auto parsed = parse_json(std::string_view(*text), name, kMaxNesting);
  if (!parsed.ok() || !parsed->is_object())
    return bad_field(name, "the arguments are not a JSON object", "a JSON object as text");
  return std::move(parsed->get_object());
}

json::object tool(std::string name, std::string description, const json::value* parameters, bool strict) {
  json::object function{{"name", std::move(name)}};
  if (!description.empty()) function["description"] = std::move(description);
  function["parameters"] =
      parameters != nullptr ? *parameters
                            : json::value(json::object{{"type", "object"}, {"properties", json::object()}});
  if (strict) function["strict"] = true;
  return {{"type", "function"}, {"function", std::move(function)}};
}

bool has_tool(const json::array& tools, std::string_view name) {
  return std::any_of(tools.begin(), tools.end(), [name](const json::value& tool) {
    return tool.at("function").at("name").as_string() == name;
  });
}

Status keep_tools(json::array& tools, const std::vector<std::string>& names, const std::string& path) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!has_tool(tools, names[i])) return bad_field(element(path, i), "no tool has this name", {}, names[i]);
  }
  json::array kept;
  for (json::value& tool : tools) {
    const std::string name(tool.at("function").at("name").as_string());
    if (std::find(names.begin(), names.end(), name) != names.end()) kept.push_back(std::move(tool));
  }
  tools = std::move(kept);
  return {};
}

Result<json::array> read_messages(const json::array& messages, bool& prefix) {
  if (messages.empty()) return bad_field("messages", "there are no messages", "at least one message");
  json::array out;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (prefix)
      return bad_field(element("messages", i - 1) + ".prefix", "only the last message can be a prefix");
    out.push_back(TRY(read_message(messages[i], element("messages", i), prefix)));
  }
  return out;
}

Result<json::array> read_tools(const json::array& tools, const std::string& name) {
  json::array out;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const std::string path = element(name, i);
    Fields entry = TRY(Fields::of(tools[i], path));
    TRY(entry.only("type", {"function"}, "only functions can be called"));
    const json::object* function = TRY(entry.object("function"));
    if (function == nullptr) return entry.missing("function");
    TRY(entry.done());
    Fields inner(*function, path + ".function.");
    const std::string called = TRY(inner.required_string("name"));
    if (called.empty() || called.size() > 256) return inner.wrong("name", "1 to 256 bytes");
    if (has_tool(out, called)) return inner.wrong("name", "a name that no other tool has");
    const std::string description = TRY(inner.string("description")).value_or("");
    const bool strict = TRY(inner.boolean("strict")).value_or(false);
    (void)TRY(inner.object("parameters"));
    out.push_back(tool(called, description, inner.value("parameters"), strict));
    TRY(inner.done());
  }
  return out;
}

Status check_named_tool(const json::array& tools, const chat::ToolChoice& choice, const std::string& field) {
  using Kind = chat::ToolChoice::Kind;
  if (choice.kind == Kind::kNamed && !has_tool(tools, choice.name))
    return bad_field(field, "no tool has this name", {}, choice.name);
  if (choice.kind == Kind::kRequired && tools.empty()) return bad_field(field, "there are no tools to call");
  return {};
}

Status read_tool_choice(const json::value& choice, json::array& tools, chat::ToolChoice& out) {
  using Kind = chat::ToolChoice::Kind;
  if (const json::string* text = choice.if_string()) {
    if (*text == "auto") return {};
    if (*text == "none") {
      out.kind = Kind::kNone;
      return {};
    }
    if (*text != "required" && *text != "any")
      return bad_field("tool_choice", "unknown choice", "auto, none, required or a function",
                       std::string(*text));
    out.kind = Kind::kRequired;
    return check_named_tool(tools, out, "tool_choice");
  }
  Fields fields = TRY(Fields::of(choice, "tool_choice"));
  const std::string type = TRY(fields.string("type")).value_or("function");
  if (type == "allowed_tools") {
    const json::value* allowed = fields.value("allowed_tools");
    if (allowed == nullptr) return fields.missing("allowed_tools");
    TRY(fields.done());
    TRY(read_allowed(*allowed, tools, out));
    return check_named_tool(tools, out, "tool_choice");
  }
  if (type != "function")
    return unsupported_field("tool_choice.type", fmt::format("a choice of type '{}' is not supported", type));
  const json::object* function = TRY(fields.object("function"));
  if (function == nullptr) return fields.missing("function");
  TRY(fields.done());
  Fields inner(*function, "tool_choice.function.");
  out = {};
  out.kind = Kind::kNamed;
  out.name = TRY(inner.required_string("name"));
  TRY(inner.done());
  return check_named_tool(tools, out, "tool_choice.function.name");
}

}  // namespace maestrale::serve
