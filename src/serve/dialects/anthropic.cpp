#include "serve/dialects/anthropic.h"

#include <fmt/core.h>

#include <limits>

#include "serve/dialects/anthropic_writer.h"
#include "serve/dialects/messages.h"
#include "serve/dialects/openai.h"

namespace maestrale::serve {
namespace {

// What one message of theirs becomes: results of tools are messages of their own here.
struct Turn {
  std::string text, reasoning;
  json::array calls, results;
};

Status read_result(Fields& block, Turn& turn) {
  const std::string id = TRY(block.required_string("tool_use_id"));
  std::string text;
  if (const json::value* content = block.value("content"))
    text = TRY(text_of(*content, block.name("content")));
  if (TRY(block.boolean("is_error")).value_or(false)) text = "Error: " + text;
  turn.results.push_back(json::object{{"role", "tool"}, {"tool_call_id", id}, {"content", text}});
  return {};
}

Status read_use(Fields& block, Turn& turn) {
  const std::string id = TRY(block.required_string("id"));
  const std::string name = TRY(block.required_string("name"));
  const json::object* input = TRY(block.object("input"));
  if (input == nullptr) return block.missing("input");
  TRY(block.refuse("caller", "tools are called by the model alone"));
  const json::object function{{"name", name}, {"arguments", *input}};
  turn.calls.push_back(json::object{{"id", id}, {"type", "function"}, {"function", function}});
  return {};
}

Status read_block(const json::value& value, const std::string& name, bool of_user, Turn& turn) {
  Fields block = TRY(Fields::of(value, name));
  const std::string type = TRY(block.required_string("type"));
  block.skip("cache_control");  // what is cached is found by its content
  if (type == "text") {
    turn.text += TRY(block.required_string("text"));
    block.skip("citations");
  } else if (type == "tool_result" && of_user) {
    TRY(read_result(block, turn));
  } else if (type == "tool_use" && !of_user) {
    TRY(read_use(block, turn));
  } else if (type == "thinking" && !of_user) {
    turn.reasoning += TRY(block.required_string("thinking"));
    (void)TRY(block.string("signature"));
  } else {
    return unsupported_field(block.name("type"),
                             fmt::format("content of type '{}' is not supported here", type));
  }
  return block.done();
}

void add_turn(Turn turn, bool of_user, json::array& out) {
  for (json::value& result : turn.results) out.push_back(std::move(result));
  if (of_user) {
    if (!turn.text.empty() || turn.results.empty())
      out.push_back(json::object{{"role", "user"}, {"content", turn.text}});
    return;
  }
  json::object message{{"role", "assistant"}, {"content", turn.text}};
  if (!turn.reasoning.empty()) message["reasoning_content"] = turn.reasoning;
  if (!turn.calls.empty()) message["tool_calls"] = std::move(turn.calls);
  out.push_back(std::move(message));
}

// An answer at the end is gone on with: it must be text.
Status check_unfinished(const Fields& message, const Turn& turn) {
  if (!turn.calls.empty())
    return unsupported_field(message.name("content"), "an answer with tool calls cannot be gone on with");
  if (turn.text.empty()) return bad_field(message.name("content"), "there is no text to go on with", "text");
  if (turn.text.find_last_not_of(" \t\r\n") + 1 != turn.text.size())
    return bad_field(message.name("content"), "an answer to be gone on with cannot end in blanks");
  return {};
}

Status read_turn(const json::value& value, const std::string& name, bool last, json::array& out) {
  Fields message = TRY(Fields::of(value, name));
  const std::string role = TRY(message.required_string("role"));
  if (role != "user" && role != "assistant") return message.wrong("role", "user or assistant");
  const bool of_user = role == "user";
  const json::value* content = message.value("content");
  if (content == nullptr) return message.missing("content");
  TRY(message.done());
  Turn turn;
  if (const json::string* text = content->if_string()) {
    turn.text = *text;
  } else if (const json::array* blocks = content->if_array()) {
    for (std::size_t i = 0; i < blocks->size(); ++i)
      TRY(read_block((*blocks)[i], element(message.name("content"), i), of_user, turn));
  } else {
    return message.wrong("content", "a string or an array of blocks");
  }
  if (last && !of_user) TRY(check_unfinished(message, turn));
  add_turn(std::move(turn), of_user, out);
  return {};
}

Status read_all_messages(Fields& fields, json::array& out) {
  if (const json::value* system = fields.value("system")) {
    const std::string text = TRY(text_of(*system, "system"));
    if (!text.empty()) out.push_back(json::object{{"role", "system"}, {"content", text}});
  }
  const json::array* messages = TRY(fields.array("messages"));
  if (messages == nullptr) return fields.missing("messages");
  if (messages->empty()) return fields.wrong("messages", "at least one message");
  for (std::size_t i = 0; i < messages->size(); ++i)
    TRY(read_turn((*messages)[i], element("messages", i), i + 1 == messages->size(), out));
  return {};
}

Status read_anthropic_tools(Fields& fields, chat::ChatRequest& chat) {
  const json::array* tools = TRY(fields.array("tools"));
  for (std::size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    Fields entry = TRY(Fields::of((*tools)[i], element("tools", i)));
    TRY(entry.only("type", {"custom"}, "only tools of the client's own are called"));
    const std::string name = TRY(entry.required_string("name"));
    if (name.empty() || name.size() > 256) return entry.wrong("name", "1 to 256 bytes");
    const std::string description = TRY(entry.string("description")).value_or("");
    if (TRY(entry.object("input_schema")) == nullptr) return entry.missing("input_schema");
    const bool strict = TRY(entry.boolean("strict")).value_or(false);
    entry.skip("cache_control");
    (void)TRY(entry.boolean("eager_input_streaming"));  // arguments come as soon as they are a call
    chat.tools.push_back(tool(name, description, entry.value("input_schema"), strict));
    TRY(entry.done());
  }
  return {};
}

Status read_choice(Fields& fields, chat::ChatRequest& chat) {
  using Kind = chat::ToolChoice::Kind;
  const json::object* object = TRY(fields.object("tool_choice"));
  if (object == nullptr) return {};
  Fields choice(*object, "tool_choice.");
  const std::string type = TRY(choice.required_string("type"));
  if (type == "any") {
    chat.tool_choice.kind = Kind::kRequired;
  } else if (type == "none") {
    chat.tool_choice.kind = Kind::kNone;
  } else if (type == "tool") {
    chat.tool_choice.kind = Kind::kNamed;
    chat.tool_choice.name = TRY(choice.required_string("name"));
  } else if (type != "auto") {
    return choice.wrong("type", "auto, any, tool or none");
  }
  if (const auto single = TRY(choice.boolean("disable_parallel_tool_use"))) chat.parallel_calls = !*single;
  TRY(choice.done());
  return check_named_tool(chat.tools, chat.tool_choice, type == "tool" ? "tool_choice.name" : "tool_choice");
}

Status read_thinking(Fields& fields, chat::ChatRequest& chat) {
  const json::object* object = TRY(fields.object("thinking"));
  if (object == nullptr) return {};
  Fields thinking(*object, "thinking.");
  const std::string type = TRY(thinking.required_string("type"));
  if (type == "enabled") {
    const auto budget = TRY(thinking.integer("budget_tokens", 1, kMany));
    if (!budget) return thinking.missing("budget_tokens");
    chat.thinking = true;
    chat.reasoning_budget = *budget;
  } else if (type == "disabled") {
    chat.thinking = false;
  } else if (type != "adaptive") {
    return thinking.wrong("type", "enabled, adaptive or disabled");
  }
  TRY(thinking.only("display", {"summarized"}, "thoughts are shown as they are"));
  return thinking.done();
}

// output_config: {format?: {type: "json_schema", schema}, effort?}; output_format: the format alone.
Status read_output(Fields& fields, chat::ChatRequest& chat) {
  const auto read_format = [&chat](const json::object& object, const std::string& name) -> Status {
    Fields format(object, name + ".");
    TRY(format.only("type", {"json_schema"}, "only JSON Schema"));
    const json::object* schema = TRY(format.object("schema"));
    if (schema == nullptr) return format.missing("schema");
    chat.common.shape = {.kind = chat::OutputShape::Kind::kJsonSchema,
                         .schema = *schema,
                         .source = {},
                         .choices = {},
                         .where = name};
    return format.done();
  };
  if (const json::object* format = TRY(fields.object("output_format")))
    TRY(read_format(*format, "output_format"));
  const json::object* object = TRY(fields.object("output_config"));
  if (object == nullptr) return {};
  Fields config(*object, "output_config.");
  if (const auto effort = TRY(config.string("effort"))) {
    if (*effort != "low" && *effort != "medium" && *effort != "high" && *effort != "max")
      return config.wrong("effort", "low, medium, high or max");
    chat.reasoning_effort = *effort;
  }
  if (const json::object* format = TRY(config.object("format")))
    TRY(read_format(*format, "output_config.format"));
  return config.done();
}

Status refuse_others(Fields& fields) {
  TRY(fields.refuse("container", "there are no containers"));
  TRY(fields.refuse("context_management", "the conversation is taken as it is"));
  TRY(fields.refuse("mcp_servers", "tools are called by the client"));
  TRY(fields.refuse("inference_geo", "there is one place"));
  fields.skip("cache_control");  // what is cached is found by its content
  return fields.only("service_tier", {"auto", "standard_only"}, "there is one tier");
}

Status read_label(Fields& fields, std::string& label) {
  const json::object* metadata = TRY(fields.object("metadata"));
  if (metadata == nullptr) return {};
  Fields inner(*metadata, "metadata.");
  label = TRY(inner.string("user_id")).value_or("");
  return inner.done();
}

}  // namespace

Result<Translation> read_anthropic(const json::object& body, bool counting) {
  Fields fields(body, "");
  Translation out;
  chat::ChatRequest chat;
  out.model = TRY(fields.required_string("model"));
  TRY(read_all_messages(fields, chat.messages));
  chat.continue_final_message = chat.messages.back().at("role") == "assistant";
  TRY(read_anthropic_tools(fields, chat));
  TRY(read_choice(fields, chat));
  TRY(read_thinking(fields, chat));
  TRY(read_output(fields, chat));
  TRY(refuse_others(fields));
  bool timings = false;
  if (!counting) {
    const auto most = TRY(fields.integer("max_tokens", 1, kMany));
    if (!most) return fields.missing("max_tokens");
    chat.common.max_tokens = *most;
    chat::Sampling& sampling = chat.common.sampling;
    sampling.temperature = TRY(fields.number("temperature", 0, 1));
    sampling.top_p = TRY(fields.number("top_p", 0, 1));
    if (sampling.top_p == 0) sampling.top_p = std::numeric_limits<double>::min();
    sampling.top_k = TRY(fields.integer("top_k", 0, kMany));
    (void)TRY(fields.array("stop_sequences"));  // one string alone is none
    chat.common.stop = TRY(read_stops(fields, "stop_sequences"));
    out.stream = TRY(fields.boolean("stream")).value_or(false);
    timings = TRY(fields.boolean("timings")).value_or(false);
    TRY(read_label(fields, out.label));
  }
  TRY(fields.done());
  out.request = std::move(chat);
  out.writer = make_anthropic_writer(timings);
  return out;
}

}  // namespace maestrale::serve
