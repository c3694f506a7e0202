#include "serve/dialects/response_items.h"

#include <fmt/core.h>

#include "serve/dialects/messages.h"
#include "serve/fields.h"
#include "serve/translation.h"

namespace maestrale::serve {
namespace {

// The text of one part.
Result<std::string> read_part(const json::value& value, const std::string& path) {
  Fields part = TRY(Fields::of(value, path));
  const std::string type = TRY(part.required_string("type"));
  std::string text;
  if (type == "refusal") {
    text = TRY(part.required_string("refusal"));
  } else if (type == "input_text" || type == "output_text" || type == "text" || type == "reasoning_text" ||
             type == "summary_text") {
    text = TRY(part.required_string("text"));
    part.skip("annotations");
    part.skip("logprobs");
    part.skip("prompt_cache_breakpoint");  // what is cached is found by its content
  } else {
    return unsupported_field(part.name("type"), fmt::format("content of type '{}' is not supported", type));
  }
  TRY(part.done());
  return text;
}

// A text, or parts that are joined.
Result<std::string> read_texts(const json::value& content, const std::string& path) {
  if (const json::string* text = content.if_string()) return std::string(*text);
  const json::array* parts = content.if_array();
  if (parts == nullptr)
    return bad_field(path, "unusable content", "a string or an array of parts", kind_of(content));
  std::string text;
  for (std::size_t i = 0; i < parts->size(); ++i) text += TRY(read_part((*parts)[i], element(path, i)));
  return text;
}

json::array list_of(json::object entry) {
  json::array list;
  list.push_back(std::move(entry));
  return list;
}

std::string id_or_new(const std::optional<std::string>& given, std::string_view prefix) {
  return given && !given->empty() ? *given : std::string(prefix) + new_id(24);
}

Result<json::object> read_message_item(Fields& item) {
  const std::string role = TRY(item.required_string("role"));
  if (role != "user" && role != "assistant" && role != "system" && role != "developer")
    return item.wrong("role", "user, assistant, system or developer");
  const json::value* content = item.value("content");
  if (content == nullptr) return item.missing("content");
  json::object out = message_item(role, TRY(read_texts(*content, item.name("content"))));
  if (const auto id = TRY(item.string("id")); id && !id->empty()) out["id"] = *id;
  (void)TRY(item.string("status"));
  (void)TRY(item.string("phase"));  // which part of their own models' answers it was
  return out;
}

Result<json::object> read_call_item(Fields& item) {
  const std::string arguments = TRY(item.required_string("arguments"));
  (void)TRY(arguments_of(json::value(arguments), item.name("arguments")));
  json::object out{{"type", "function_call"}};
  out["id"] = id_or_new(TRY(item.string("id")), "fc_");
  out["call_id"] = TRY(item.required_string("call_id"));
  out["name"] = TRY(item.required_string("name"));
  out["arguments"] = arguments;
  out["status"] = "completed";
  (void)TRY(item.string("status"));
  TRY(item.refuse("namespace", "functions have no namespaces"));
  TRY(item.only("async", {false}, "calls are waited for"));
  TRY(item.refuse("caller", "functions are called by the model alone"));
  return out;
}

Result<json::object> read_output_item(Fields& item) {
  const json::value* output = item.value("output");
  if (output == nullptr) return item.missing("output");
  json::object out{{"type", "function_call_output"}};
  out["id"] = id_or_new(TRY(item.string("id")), "fco_");
  out["call_id"] = TRY(item.required_string("call_id"));
  out["output"] = TRY(read_texts(*output, item.name("output")));
  out["status"] = "completed";
  (void)TRY(item.string("status"));
  (void)TRY(item.string("name"));
  TRY(item.refuse("namespace", "functions have no namespaces"));
  TRY(item.refuse("caller", "functions are called by the model alone"));
  return out;
}

Result<json::object> read_reasoning_item(Fields& item) {
  std::string thoughts;
  const json::value* content = item.value("content");
  if (content != nullptr) thoughts = TRY(read_texts(*content, item.name("content")));
  const json::value* summary = item.value("summary");
  const std::string summed = summary == nullptr ? "" : TRY(read_texts(*summary, item.name("summary")));
  if (thoughts.empty()) thoughts = summed;
  TRY(item.refuse("encrypted_content", "thoughts are sent as text"));
  (void)TRY(item.string("status"));
  json::object out{{"type", "reasoning"}};
  out["id"] = id_or_new(TRY(item.string("id")), "rs_");
  out["summary"] = json::array();
  out["content"] = list_of({{"type", "reasoning_text"}, {"text", thoughts}});
  return out;
}

Result<json::object> read_item(const json::value& value, const std::string& path) {
  Fields item = TRY(Fields::of(value, path));
  const std::string type = TRY(item.string("type")).value_or(item.has("role") ? "message" : "item_reference");
  json::object out;
  if (type == "message") {
    out = TRY(read_message_item(item));
  } else if (type == "function_call") {
    out = TRY(read_call_item(item));
  } else if (type == "function_call_output") {
    out = TRY(read_output_item(item));
  } else if (type == "reasoning") {
    out = TRY(read_reasoning_item(item));
  } else if (type == "item_reference") {
    out["type"] = "item_reference";
    out["id"] = TRY(item.required_string("id"));
  } else {
    return unsupported_field(item.name("type"), fmt::format("items of type '{}' are not supported", type));
  }
  TRY(item.done());
  return out;
}

std::string text_in(const json::object& item, const char* list) {
  std::string text;
  for (const json::value& part : item.at(list).as_array()) text += part.at("text").as_string();
  return text;
}

// The assistant's message that items are being added to, or a new one; `apart`: fields that it must not have.
json::object& assistant_message(json::array& messages, std::initializer_list<const char*> apart) {
  bool goes_on = !messages.empty() && messages.back().at("role") == "assistant";
  for (const char* field : apart) {
    const json::value* found = goes_on ? messages.back().as_object().if_contains(field) : nullptr;
    if (found != nullptr && *found != "") goes_on = false;
  }
  if (!goes_on) messages.push_back(json::object{{"role", "assistant"}, {"content", ""}});
  return messages.back().as_object();
}

void add_message(json::array& messages, const json::object& item) {
  const std::string text = text_in(item, "content");
  if (item.at("role") == "assistant") {
    assistant_message(messages, {"content", "tool_calls"})["content"] = text;
    return;
  }
  const bool system = item.at("role") != "user";
  // Templates take one system message, at the beginning.
  if (system && !messages.empty() && messages.back().at("role") == "system") {
    json::string& before = messages.back().as_object()["content"].as_string();
    before += "\n\n" + text;
    return;
  }
  messages.push_back(json::object{{"role", system ? "system" : "user"}, {"content", text}});
}

void add_call(json::array& messages, const json::object& item) {
  json::object& message = assistant_message(messages, {});
  if (!message.contains("tool_calls")) message["tool_calls"] = json::array();
  auto arguments = arguments_of(item.at("arguments"), "arguments");
  const json::object function{{"name", item.at("name")},
                              {"arguments", arguments.ok() ? *arguments : json::object()}};
  message["tool_calls"].as_array().push_back(
      json::object{{"id", item.at("call_id")}, {"type", "function"}, {"function", function}});
}

}  // namespace

json::object message_item(std::string_view role, std::string text) {
  json::object part{{"type", role == "assistant" ? "output_text" : "input_text"}, {"text", std::move(text)}};
  if (role == "assistant") part["annotations"] = json::array();
  return {{"type", "message"},
          {"id", "msg_" + new_id(24)},
          {"role", role},
          {"status", "completed"},
          {"content", list_of(std::move(part))}};
}

Result<json::array> read_response_items(const json::value& input) {
  json::array items;
  if (const json::string* text = input.if_string()) {
    items.push_back(message_item("user", std::string(*text)));
    return items;
  }
  const json::array* list = input.if_array();
  if (list == nullptr)
    return bad_field("input", "unusable input", "a string or an array of items", kind_of(input));
  for (std::size_t i = 0; i < list->size(); ++i)
    items.push_back(TRY(read_item((*list)[i], element("input", i))));
  return items;
}

json::array messages_of_items(const json::array& items) {
  json::array messages;
  for (const json::value& value : items) {
    const json::object& item = value.as_object();
    if (item.at("type") == "message") {
      add_message(messages, item);
    } else if (item.at("type") == "reasoning") {
      assistant_message(messages, {"content", "tool_calls", "reasoning_content"})["reasoning_content"] =
          text_in(item, "content");
    } else if (item.at("type") == "function_call") {
      add_call(messages, item);
    } else if (item.at("type") == "function_call_output") {
      messages.push_back(json::object{
          {"role", "tool"}, {"tool_call_id", item.at("call_id")}, {"content", item.at("output")}});
    }
  }
  return messages;
}

}  // namespace maestrale::serve
