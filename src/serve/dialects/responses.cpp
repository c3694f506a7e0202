#include "serve/dialects/responses.h"

#include <fmt/core.h>

#include "serve/dialects/messages.h"
#include "serve/dialects/openai.h"
#include "serve/dialects/response_items.h"

namespace maestrale::serve {
namespace {

// {type: "function", name, description?, parameters?, strict?}
Result<json::array> read_function_tools(const json::array& tools) {
  json::array out;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    Fields entry = TRY(Fields::of(tools[i], element("tools", i)));
    TRY(entry.only("type", {"function"}, "only functions can be called"));
    const std::string name = TRY(entry.required_string("name"));
    if (name.empty() || name.size() > 256) return entry.wrong("name", "1 to 256 bytes");
    if (has_tool(out, name)) return entry.wrong("name", "a name that no other tool has");
    const std::string description = TRY(entry.string("description")).value_or("");
    // Theirs is strict where nothing is said and the schema allows it; ours where it is said.
    const bool strict = TRY(entry.boolean("strict")).value_or(false);
    (void)TRY(entry.object("parameters"));
    out.push_back(tool(name, description, entry.value("parameters"), strict));
    TRY(entry.only("allowed_callers", {json::array{"direct"}}, "tools are called by the model alone"));
    TRY(entry.only("async", {false}, "calls are waited for"));
    TRY(entry.only("defer_loading", {false}, "every tool is in the prompt"));
    TRY(entry.refuse("output_schema", "results are taken as they are"));
    TRY(entry.done());
  }
  return out;
}

Status read_choice_object(const json::value& choice, json::array& tools, chat::ToolChoice& out) {
  using Kind = chat::ToolChoice::Kind;
  Fields fields = TRY(Fields::of(choice, "tool_choice"));
  const std::string type = TRY(fields.required_string("type"));
  if (type == "function") {
    out.kind = Kind::kNamed;
    out.name = TRY(fields.required_string("name"));
    TRY(fields.done());
    return check_named_tool(tools, out, "tool_choice.name");
  }
  if (type != "allowed_tools")
    return unsupported_field("tool_choice.type", fmt::format("a choice of type '{}' is not supported", type));
  const std::string mode = TRY(fields.required_string("mode"));
  if (mode != "auto" && mode != "required") return fields.wrong("mode", "auto or required");
  if (mode == "required") out.kind = Kind::kRequired;
  const json::array* list = TRY(fields.array("tools"));
  if (list == nullptr) return fields.missing("tools");
  TRY(fields.done());
  std::vector<std::string> names;
  for (std::size_t i = 0; i < list->size(); ++i) {
    Fields entry = TRY(Fields::of((*list)[i], element("tool_choice.tools", i)));
    TRY(entry.only("type", {"function"}, "only functions can be called"));
    names.push_back(TRY(entry.required_string("name")));
    TRY(entry.done());
  }
  TRY(keep_tools(tools, names, "tool_choice.tools"));
  return check_named_tool(tools, out, "tool_choice");
}

Status read_tool_fields(Fields& fields, chat::ChatRequest& chat, json::object& echo) {
  echo["tools"] = json::array();
  echo["tool_choice"] = "auto";
  if (const json::array* tools = TRY(fields.array("tools"))) {
    chat.tools = TRY(read_function_tools(*tools));
    echo["tools"] = *tools;
  }
  if (const json::value* choice = fields.value("tool_choice")) {
    echo["tool_choice"] = *choice;
    TRY(choice->is_string() ? read_tool_choice(*choice, chat.tools, chat.tool_choice)
                            : read_choice_object(*choice, chat.tools, chat.tool_choice));
  }
  if (const auto parallel = TRY(fields.boolean("parallel_tool_calls"))) chat.parallel_calls = *parallel;
  echo["parallel_tool_calls"] = chat.parallel_calls;
  return {};
}

Status read_text_field(Fields& fields, chat::OutputShape& shape, json::object& echo) {
  echo["text"] = json::object{{"format", json::object{{"type", "text"}}}};
  const json::object* object = TRY(fields.object("text"));
  if (object == nullptr) return {};
  Fields text(*object, "text.");
  TRY(text.only("verbosity", {"medium"}, "ask for it in the messages"));
  if (const json::object* format = TRY(text.object("format"))) {
    TRY(read_openai_shape(*format, "text.format.", true, shape));
    echo["text"].as_object()["format"] = *format;
  }
  return text.done();
}

Status read_reasoning_field(Fields& fields, chat::ChatRequest& chat, json::object& echo) {
  echo["reasoning"] = json::object{{"effort", nullptr}, {"summary", nullptr}};
  const json::object* object = TRY(fields.object("reasoning"));
  if (object == nullptr) return {};
  Fields reasoning(*object, "reasoning.");
  chat.reasoning_effort = TRY(read_openai_effort(reasoning, "effort"));
  if (!chat.reasoning_effort.empty()) echo["reasoning"].as_object()["effort"] = chat.reasoning_effort;
  // "auto": the best summary that there is, and there is none: thoughts are given whole.
  for (const char* key : {"summary", "generate_summary"})
    TRY(reasoning.only(key, {"auto"}, "thoughts are given whole"));
  TRY(reasoning.only("context", {"auto"}, "the model's template decides which thoughts are kept"));
  TRY(reasoning.only("mode", {"standard"}, "there is one mode"));
  return reasoning.done();
}

Status read_include(Fields& fields, ResponsesRequest& out) {
  const json::array* list = TRY(fields.array("include"));
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    if ((*list)[i] == "message.output_text.logprobs") {
      out.logprobs = true;
      continue;
    }
    return bad_field(element("include", i), "this cannot be included", "message.output_text.logprobs",
                     (*list)[i].is_string() ? std::string((*list)[i].get_string()) : kind_of((*list)[i]));
  }
  return {};
}

Status read_metadata(Fields& fields, json::object& echo) {
  echo["metadata"] = json::object();
  const json::object* metadata = TRY(fields.object("metadata"));
  if (metadata == nullptr) return {};
  if (metadata->size() > 16) return fields.wrong("metadata", "at most 16 pairs");
  for (const auto& [key, value] : *metadata) {
    const bool fits = key.size() <= 64 && value.is_string() && value.get_string().size() <= 512;
    if (!fits) {
      return bad_field(fields.name("metadata." + std::string(key.substr(0, 64))), "unusable metadata",
                       "a key of at most 64 bytes and a string of at most 512");
    }
  }
  echo["metadata"] = *metadata;
  return {};
}

Status refuse_others(Fields& fields) {
  TRY(fields.refuse("conversation", "use previous_response_id"));
  TRY(fields.refuse("prompt", "there are no stored prompts"));
  TRY(fields.refuse("context_management", "conversations are never cut"));
  TRY(fields.refuse("max_tool_calls", "it counts tools that a server runs, and there are none"));
  TRY(fields.refuse("moderation", "there is no moderation"));
  TRY(fields.refuse("image", "there are no images"));
  TRY(fields.refuse("access_programs", "there are none"));
  TRY(fields.refuse("prompt_cache_options", "the cache keeps what it has room for"));
  TRY(fields.only("prompt_cache_retention", {"in_memory"}, "the cache keeps what it has room for"));
  TRY(fields.only("service_tier", {"auto", "default"}, "there is one tier"));
  return fields.only("truncation", {"disabled"}, "conversations are never cut");
}

Status read_stream(Fields& fields, ResponsesRequest& out) {
  out.translation.stream = TRY(fields.boolean("stream")).value_or(false);
  if (out.background && out.translation.stream)
    return unsupported_field("stream", "a background response is not streamed: ask for it by its id");
  const json::object* options = TRY(fields.object("stream_options"));
  if (options == nullptr) return {};
  if (!out.translation.stream) return bad_field("stream_options", "stream_options without stream");
  Fields inner(*options, "stream_options.");
  TRY(inner.only("include_obfuscation", {false}, "streams are not padded"));
  return inner.done();
}

Status read_conversation(Fields& fields, ResponsesRequest& out) {
  out.previous = TRY(fields.string("previous_response_id")).value_or("");
  out.instructions = TRY(fields.string("instructions")).value_or("");
  if (const json::value* input = fields.value("input")) out.input = TRY(read_response_items(*input));
  if (out.input.empty() && out.previous.empty())
    return fields.has("input") ? fields.wrong("input", "at least one item") : fields.missing("input");
  out.store = TRY(fields.boolean("store")).value_or(true);
  out.background = TRY(fields.boolean("background")).value_or(false);
  if (out.background && !out.store)
    return bad_field("background", "a background response must be stored", "store: true", "store: false");
  return {};
}

Status read_sampling(Fields& fields, chat::CommonRequest& common, ResponsesRequest& out) {
  TRY(read_openai_sampling(fields, common));
  if (common.choices != 1) return unsupported_field("n", "a response has one answer");
  if (const auto most = TRY(fields.integer("max_output_tokens", 1, kMany))) common.max_tokens = *most;
  const auto top = TRY(fields.integer("top_logprobs", 0, 20));
  if (top && *top > 0 && !out.logprobs)
    return bad_field("top_logprobs", "top_logprobs without include: [\"message.output_text.logprobs\"]");
  if (out.logprobs) common.sampling.logprobs = top.value_or(0);
  return {};
}

// What was said, or null.
void echo_fields(const json::object& body, json::object& echo) {
  for (const char* key : {"instructions", "max_output_tokens", "previous_response_id", "temperature", "top_p",
                          "top_logprobs", "user", "safety_identifier", "prompt_cache_key"}) {
    const json::value* said = body.if_contains(key);
    echo[key] = said != nullptr ? *said : json::value();
  }
  echo["truncation"] = "disabled";
  echo["service_tier"] = "default";
}

}  // namespace

Result<ResponsesRequest> read_responses(const json::object& body) {
  Fields fields(body, "");
  ResponsesRequest out;
  chat::ChatRequest chat;
  out.translation.model = TRY(fields.required_string("model"));
  TRY(read_conversation(fields, out));
  TRY(read_include(fields, out));
  TRY(read_sampling(fields, chat.common, out));
  TRY(read_tool_fields(fields, chat, out.echo));
  TRY(read_text_field(fields, chat.common.shape, out.echo));
  TRY(read_reasoning_field(fields, chat, out.echo));
  TRY(read_metadata(fields, out.echo));
  TRY(read_stream(fields, out));
  out.timings = TRY(fields.boolean("timings")).value_or(false);
  out.translation.label = TRY(read_openai_label(fields));
  TRY(refuse_others(fields));
  TRY(fields.done());
  echo_fields(body, out.echo);
  out.echo["store"] = out.store;
  out.echo["background"] = out.background;
  out.translation.request = std::move(chat);
  return out;
}

}  // namespace maestrale::serve
