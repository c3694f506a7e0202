#include <fmt/core.h>

#include <charconv>
#include <limits>

#include "serve/dialects/messages.h"
#include "serve/dialects/openai.h"
#include "serve/dialects/openai_writer.h"

namespace maestrale::serve {
namespace {

Status read_format(Fields& fields, chat::OutputShape& shape) {
  const json::object* object = TRY(fields.object("response_format"));
  return object == nullptr ? Status() : read_openai_shape(*object, "response_format.", false, shape);
}

Status read_bias(Fields& fields, chat::Sampling& sampling) {
  const json::object* bias = TRY(fields.object("logit_bias"));
  if (bias == nullptr) return {};
  for (const auto& [key, value] : *bias) {
    text::TokenId token = 0;
    const std::string path = "logit_bias." + std::string(key);
    const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (code != std::errc() || end != key.data() + key.size() || token < 0)
      return bad_field(path, "unusable token", "a token id");
    if (!value.is_number() || !(value.to_number<double>() >= -100 && value.to_number<double>() <= 100))
      return bad_field(path, "unusable bias", "a number, -100 to 100");
    sampling.logit_bias.emplace_back(token, value.to_number<double>());
  }
  return {};
}

// {name?, description?, strict?, schema}, and the type where the fields stand beside it.
Status read_schema(Fields& inner, chat::OutputShape& shape) {
  (void)TRY(inner.string("name"));
  (void)TRY(inner.string("description"));
  (void)TRY(inner.boolean("strict"));  // every schema is kept exactly
  const char* key = inner.has("schema_definition") ? "schema_definition" : "schema";  // Mistral's, OpenAI's
  const json::object* schema = TRY(inner.object(key));
  if (schema == nullptr) return inner.missing("schema");
  shape.kind = chat::OutputShape::Kind::kJsonSchema;
  shape.schema = *schema;
  shape.where = inner.name(key);
  return {};
}

Status read_nested_schema(Fields& format, chat::OutputShape& shape) {
  const json::object* holder = TRY(format.object("json_schema"));
  if (holder == nullptr) return format.missing("json_schema");
  Fields inner(*holder, format.name("json_schema") + ".");
  TRY(read_schema(inner, shape));
  return inner.done();
}

Status read_stream(Fields& fields, Translation& out, bool& include_usage) {
  out.stream = TRY(fields.boolean("stream")).value_or(false);
  const json::object* options = TRY(fields.object("stream_options"));
  if (options == nullptr) return {};
  if (!out.stream) return bad_field("stream_options", "stream_options without stream");
  Fields inner(*options, "stream_options.");
  include_usage = TRY(inner.boolean("include_usage")).value_or(false);
  TRY(inner.only("include_obfuscation", {false}, "streams are not padded"));
  (void)TRY(inner.boolean("stream_tool_calls"));  // Mistral's; calls are always streamed
  return inner.done();
}

Status read_reasoning(Fields& fields, chat::ChatRequest& chat) {
  chat.reasoning_effort = TRY(read_openai_effort(fields, "reasoning_effort"));
  if (const auto budget = TRY(fields.integer("reasoning_budget", 0, kMany))) chat.reasoning_budget = *budget;
  if (const auto mode = TRY(fields.string("prompt_mode"))) {  // Mistral's
    if (*mode != "reasoning") return fields.wrong("prompt_mode", "reasoning");
    chat.thinking = true;
  }
  if (const json::object* variables = TRY(fields.object("chat_template_kwargs"))) {
    for (const auto& [key, value] : *variables) {
      for (const char* own : {"messages", "tools", "add_generation_prompt", "continue_final_message",
                              "bos_token", "eos_token"}) {
        if (key == own) return bad_field(fmt::format("chat_template_kwargs.{}", own), "set by the server");
      }
      chat.template_variables[key] = value;
    }
  }
  return {};
}

// Two ways of going on with the last message: Mistral's prefix, whose answer says it again, and
// continue_final_message of vLLM and transformers, whose answer says it again where `echo` asks for it. Gives
// what is said again.
Result<std::string> read_continuation(Fields& fields, bool prefix, chat::ChatRequest& chat) {
  const auto begins = TRY(fields.boolean("add_generation_prompt"));
  const auto goes_on = TRY(fields.boolean("continue_final_message"));
  const auto echo = TRY(fields.boolean("echo"));
  if (prefix && goes_on)
    return bad_field("continue_final_message", "the last message is a prefix already", "one of the two");
  chat.continue_final_message = prefix || goes_on.value_or(false);
  if (chat.continue_final_message && begins == true)
    return bad_field("add_generation_prompt", "an answer cannot both begin and go on", "false");
  if (!chat.continue_final_message && begins == false)
    return unsupported_field("add_generation_prompt", "an answer begins, or goes on with the last message");
  if (echo == true && !chat.continue_final_message)
    return bad_field("echo", "there is nothing to say again without continue_final_message");
  if (!chat.continue_final_message || !echo.value_or(prefix)) return std::string();
  return std::string(chat.messages.back().at("content").as_string());
}

Status refuse_others(Fields& fields) {
  TRY(fields.refuse("audio", "there is no sound"));
  TRY(fields.refuse("function_call", "use tool_choice"));
  TRY(fields.refuse("functions", "use tools"));
  TRY(fields.refuse("prediction", "there are no predicted outputs"));
  TRY(fields.refuse("web_search_options", "there is no web search"));
  TRY(fields.refuse("moderation", "there is no moderation"));
  TRY(fields.refuse("prompt_cache_retention", "the cache keeps what it has room for"));
  TRY(fields.refuse("verbosity", "ask for it in the messages"));
  TRY(fields.refuse("guardrails", "there are no guardrails"));
  TRY(fields.only("store", {false}, "answers are not kept"));
  TRY(fields.only("metadata", {json::object()}, "answers are not kept"));
  TRY(fields.only("service_tier", {"auto", "default"}, "there is one tier"));
  TRY(fields.only("modalities", {json::array{"text"}}, "there is only text"));
  return fields.only("safe_prompt", {false}, "there is no built-in system message");
}

Status read_tool_fields(Fields& fields, chat::ChatRequest& chat) {
  if (const json::array* tools = TRY(fields.array("tools"))) chat.tools = TRY(read_tools(*tools));
  if (const json::value* choice = fields.value("tool_choice"))
    TRY(read_tool_choice(*choice, chat.tools, chat.tool_choice));
  if (const auto parallel = TRY(fields.boolean("parallel_tool_calls"))) chat.parallel_calls = *parallel;
  return {};
}

Status read_logprobs(Fields& fields, chat::Sampling& sampling) {
  const bool wanted = TRY(fields.boolean("logprobs")).value_or(false);
  const auto top = TRY(fields.integer("top_logprobs", 0, 20));
  if (top && !wanted) return bad_field("top_logprobs", "top_logprobs without logprobs");
  if (wanted) sampling.logprobs = top.value_or(0);
  return {};
}

}  // namespace

Result<std::string> read_openai_effort(Fields& fields, std::string_view key) {
  const auto effort = TRY(fields.string(key));
  if (!effort) return std::string();
  for (const char* known : {"none", "minimal", "low", "medium", "high", "xhigh"}) {
    if (*effort == known) return *effort;
  }
  return fields.wrong(key, "none, minimal, low, medium, high or xhigh");
}

Result<std::string> read_openai_label(Fields& fields) {
  std::string label;
  for (const char* key : {"user", "safety_identifier", "prompt_cache_key"}) {
    if (const auto text = TRY(fields.string(key))) label += (label.empty() ? "" : " ") + *text;
  }
  return label;
}

Status read_openai_shape(const json::object& object, const std::string& path, bool flat,
                         chat::OutputShape& shape) {
  using Kind = chat::OutputShape::Kind;
  Fields format(object, path);
  const std::string type = TRY(format.required_string("type"));
  if (type == "json_object") {
    shape.kind = Kind::kJsonObject;
    (void)format.value("json_schema");
  } else if (type == "json_schema") {
    TRY(flat ? read_schema(format, shape) : read_nested_schema(format, shape));
  } else if (type == "regex") {
    shape.kind = Kind::kRegex;
    shape.source = TRY(format.required_string("pattern"));
  } else if (type == "grammar") {
    shape.kind = Kind::kGrammar;
    shape.source = TRY(format.required_string("grammar"));
  } else if (type == "choice") {
    shape.kind = Kind::kChoice;
    const json::array* choices = TRY(format.array("choices"));
    if (choices == nullptr) return format.missing("choices");
    for (const json::value& choice : *choices) {
      if (!choice.is_string()) return format.wrong("choices", "strings");
      shape.choices.emplace_back(choice.get_string());
    }
  } else if (type != "text") {
    return format.wrong("type", "text, json_object, json_schema, regex, grammar or choice");
  }
  return format.done();
}

Result<std::vector<std::string>> read_stops(Fields& fields, std::string_view key) {
  std::vector<std::string> stops;
  const json::value* value = fields.value(key);
  if (value == nullptr) return stops;
  if (const json::string* text = value->if_string()) {
    stops.emplace_back(*text);
  } else if (const json::array* list = value->if_array()) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      const json::value& entry = (*list)[i];
      if (!entry.is_string())
        return bad_field(element(fields.name(key), i), "unusable value", "a string", kind_of(entry));
      stops.emplace_back(entry.get_string());
    }
  } else {
    return fields.wrong(key, "a string or an array of strings");
  }
  if (stops.size() > 64) return fields.wrong(key, "at most 64 strings");
  for (const std::string& stop : stops) {
    if (stop.empty() || stop.size() > 4096) return fields.wrong(key, "strings of 1 to 4096 bytes");
  }
  return stops;
}

Status read_openai_sampling(Fields& fields, chat::CommonRequest& common) {
  chat::Sampling& sampling = common.sampling;
  sampling.temperature = TRY(fields.number("temperature", 0, 2));
  sampling.top_p = TRY(fields.number("top_p", 0, 1));
  // The smallest share keeps the likeliest token alone.
  if (sampling.top_p == 0) sampling.top_p = std::numeric_limits<double>::min();
  sampling.presence_penalty = TRY(fields.number("presence_penalty", -2, 2));
  sampling.frequency_penalty = TRY(fields.number("frequency_penalty", -2, 2));
  sampling.top_k = TRY(fields.integer("top_k", 0, kMany));
  sampling.min_p = TRY(fields.number("min_p", 0, 1));
  sampling.typical_p = TRY(fields.number("typical_p", 1e-6, 1));
  sampling.repetition_penalty = TRY(fields.number("repetition_penalty", 1e-3, 100));
  for (const char* key : {"seed", "random_seed"}) {
    const auto seed = TRY(fields.integer(key, std::numeric_limits<std::int64_t>::min(),
                                         std::numeric_limits<std::int64_t>::max()));
    if (seed) sampling.seed = static_cast<std::uint64_t>(*seed);
  }
  common.stop = TRY(read_stops(fields, "stop"));
  common.ignore_end = TRY(fields.boolean("ignore_eos")).value_or(false);
  if (const auto n = TRY(fields.integer("n", 1, engine::kMaxChoices))) common.choices = static_cast<int>(*n);
  return read_bias(fields, sampling);
}

Result<Translation> read_openai_chat(const json::object& body, bool mistral) {
  Fields fields(body, "");
  Translation out;
  chat::ChatRequest chat;
  out.model = TRY(fields.required_string("model"));
  const json::array* messages = TRY(fields.array("messages"));
  if (messages == nullptr) return fields.missing("messages");
  bool prefix = false;
  chat.messages = TRY(read_messages(*messages, prefix));
  TRY(read_openai_sampling(fields, chat.common));
  for (const char* key : {"max_tokens", "max_completion_tokens"}) {
    if (const auto most = TRY(fields.integer(key, 1, kMany))) chat.common.max_tokens = *most;
  }
  TRY(read_tool_fields(fields, chat));
  TRY(read_format(fields, chat.common.shape));
  TRY(read_reasoning(fields, chat));
  const std::string echo = TRY(read_continuation(fields, prefix, chat));
  TRY(read_logprobs(fields, chat.common.sampling));
  bool include_usage = false;
  TRY(read_stream(fields, out, include_usage));
  const bool timings = TRY(fields.boolean("timings")).value_or(false);
  out.label = TRY(read_openai_label(fields));
  TRY(refuse_others(fields));
  TRY(fields.done());
  out.request = std::move(chat);
  out.writer = make_openai_chat_writer({.include_usage = include_usage || mistral,
                                        .thinking_parts = mistral,
                                        .echo = echo,
                                        .timings = timings});
  return out;
}

Result<Translation> read_openai_text(const json::object& body) {
  Fields fields(body, "");
  Translation out;
  chat::TextRequest request;
  out.model = TRY(fields.required_string("model"));
  const json::value* prompt = fields.value("prompt");
  if (prompt == nullptr) return fields.missing("prompt");
  std::string shown;
  if (const json::string* text = prompt->if_string()) {
    request.prompt = shown = std::string(*text);
  } else if (const json::array* list = prompt->if_array();
             list != nullptr && list->size() == 1 && list->front().is_string()) {
    request.prompt = shown = std::string(list->front().get_string());
  } else if (list != nullptr && !list->empty() && !list->front().is_string()) {
    request.prompt = TRY(token_ids_of(*list, "prompt"));
  } else {
    return fields.wrong("prompt", "a string, an array of one string, or an array of token ids");
  }
  if (const auto suffix = TRY(fields.string("suffix")); suffix && !suffix->empty()) request.suffix = *suffix;
  TRY(read_openai_sampling(fields, request.common));
  request.common.max_tokens = TRY(fields.integer("max_tokens", 0, kMany)).value_or(16);
  if (const auto count = TRY(fields.integer("logprobs", 0, 20))) request.common.sampling.logprobs = *count;
  TRY(read_format(fields, request.common.shape));
  const bool echo = TRY(fields.boolean("echo")).value_or(false);
  if (echo && request.common.sampling.logprobs >= 0)
    return unsupported_field("echo", "echo with logprobs is not supported");
  if (echo && !std::holds_alternative<std::string>(request.prompt))
    return unsupported_field("echo", "echo of token ids is not supported");
  TRY(fields.only("best_of", {request.common.choices}, "every answer is returned"));
  bool include_usage = false;
  TRY(read_stream(fields, out, include_usage));
  const bool timings = TRY(fields.boolean("timings")).value_or(false);
  out.label = TRY(read_openai_label(fields));
  TRY(fields.done());
  out.request = std::move(request);
  out.writer = make_openai_text_writer(
      {.include_usage = include_usage, .echo = echo ? shown : "", .timings = timings});
  return out;
}

}  // namespace maestrale::serve
