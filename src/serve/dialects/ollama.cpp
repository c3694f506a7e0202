#include "serve/dialects/ollama.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <limits>

#include "serve/dialects/messages.h"
#include "serve/dialects/ollama_writer.h"
#include "serve/dialects/openai.h"
#include "serve/model_pool.h"

namespace maestrale::serve {
namespace {

Status read_limits(Fields& options, chat::CommonRequest& common) {
  if (const auto most = TRY(options.integer("num_predict", -2, kMany)))
    common.max_tokens = std::max<std::int64_t>(*most, -1);
  common.stop = TRY(read_stops(options, "stop"));
  common.least_context = TRY(options.integer("num_ctx", 1, kMany)).value_or(0);
  TRY(options.refuse("num_keep", "prompts are never cut"));
  for (const char* key : {"num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "numa", "low_vram",
                          "vocab_only", "use_mlock", "f16_kv", "draft_num_predict"})
    TRY(options.refuse(key, "it is set when the server starts"));
  for (const char* key : {"mirostat", "mirostat_tau", "mirostat_eta", "tfs_z", "penalize_newline"})
    TRY(options.refuse(key, "there is no such sampler"));
  return {};
}

Status read_options(Fields& fields, chat::CommonRequest& common) {
  common.sampling.temperature = 0.8;  // theirs, where nothing is said
  const json::object* object = TRY(fields.object("options"));
  if (object == nullptr) return {};
  Fields options(*object, "options.");
  chat::Sampling& sampling = common.sampling;
  if (const auto value = TRY(options.number("temperature", 0, 100))) sampling.temperature = *value;
  sampling.top_p = TRY(options.number("top_p", 0, 1));
  if (sampling.top_p == 0) sampling.top_p = std::numeric_limits<double>::min();
  sampling.top_k = TRY(options.integer("top_k", 0, kMany));
  sampling.min_p = TRY(options.number("min_p", 0, 1));
  sampling.typical_p = TRY(options.number("typical_p", 1e-6, 1));
  sampling.repetition_penalty = TRY(options.number("repeat_penalty", 1e-3, 100));
  sampling.penalty_window = TRY(options.integer("repeat_last_n", -1, kMany));
  sampling.presence_penalty = TRY(options.number("presence_penalty", -100, 100));
  sampling.frequency_penalty = TRY(options.number("frequency_penalty", -100, 100));
  const auto seed = TRY(options.integer("seed", std::numeric_limits<std::int64_t>::min(),
                                        std::numeric_limits<std::int64_t>::max()));
  if (seed) sampling.seed = static_cast<std::uint64_t>(*seed);
  TRY(read_limits(options, common));
  return options.done();
}

// "json", or a schema.
Status read_format(Fields& fields, chat::OutputShape& shape) {
  const json::value* format = fields.value("format");
  shape.where = "format";
  if (format == nullptr || *format == "") return {};
  if (const json::object* schema = format->if_object()) {
    shape.kind = chat::OutputShape::Kind::kJsonSchema;
    shape.schema = *schema;
    return {};
  }
  if (*format != "json") return fields.wrong("format", "\"json\" or a JSON Schema");
  shape.kind = chat::OutputShape::Kind::kJsonObject;
  return {};
}

// true, false, or how much.
Status read_think(Fields& fields, chat::ChatRequest& chat) {
  const json::value* think = fields.value("think");
  if (think == nullptr) return {};
  if (think->is_bool()) {
    chat.thinking = think->get_bool();
    return {};
  }
  for (const char* effort : {"low", "medium", "high"}) {
    if (*think == effort) chat.reasoning_effort = effort;
  }
  if (chat.reasoning_effort.empty()) return fields.wrong("think", "true, false, low, medium or high");
  return {};
}

Status read_common(Fields& fields, Translation& out, chat::CommonRequest& common) {
  out.model = TRY(fields.required_string("model"));
  out.stream = TRY(fields.boolean("stream")).value_or(true);
  TRY(read_options(fields, common));
  TRY(read_format(fields, common.shape));
  out.keep_s = TRY(read_keep_alive(fields));
  TRY(fields.only("truncate", {false}, "prompts are never cut"));
  TRY(fields.only("shift", {false}, "prompts are never cut"));
  const bool logprobs = TRY(fields.boolean("logprobs")).value_or(false);
  const auto top = TRY(fields.integer("top_logprobs", 0, 20));
  if (logprobs || top.value_or(0) > 0)
    return unsupported_field("logprobs", "log-probabilities are given by /v1/chat/completions");
  return {};
}

Status add_calls(Fields& message, json::object& out) {
  const json::array* calls = TRY(message.array("tool_calls"));
  if (calls == nullptr || calls->empty()) return {};
  json::array made;
  for (std::size_t i = 0; i < calls->size(); ++i) {
    Fields call = TRY(Fields::of((*calls)[i], element(message.name("tool_calls"), i)));
    TRY(call.only("type", {"function"}, "only functions can be called"));
    const std::string id = TRY(call.string("id")).value_or("");
    const json::object* function = TRY(call.object("function"));
    if (function == nullptr) return call.missing("function");
    TRY(call.done());
    Fields inner(*function, call.name("function") + ".");
    (void)TRY(inner.integer("index", 0, 1 << 20));
    const std::string name = TRY(inner.required_string("name"));
    const json::value* arguments = inner.value("arguments");
    json::object given;
    if (arguments != nullptr) given = TRY(arguments_of(*arguments, inner.name("arguments")));
    TRY(inner.done());
    const json::object part{{"name", name}, {"arguments", std::move(given)}};
    made.push_back(json::object{
        {"id", id.empty() ? fmt::format("call{:05}", i) : id}, {"type", "function"}, {"function", part}});
  }
  out["tool_calls"] = std::move(made);
  return {};
}

Result<json::object> read_message(const json::value& value, const std::string& name) {
  Fields message = TRY(Fields::of(value, name));
  const std::string role = TRY(message.required_string("role"));
  if (role != "system" && role != "user" && role != "assistant" && role != "tool")
    return message.wrong("role", "system, user, assistant or tool");
  json::object out{{"role", role}, {"content", TRY(message.string("content")).value_or("")}};
  if (const auto thoughts = TRY(message.string("thinking")); thoughts && !thoughts->empty())
    out["reasoning_content"] = *thoughts;
  TRY(message.only("images", {json::array()}, "there are no images"));
  TRY(add_calls(message, out));
  const auto tool = TRY(message.string("tool_name"));
  const auto called = TRY(message.string("name"));
  if (tool || called) out["name"] = tool ? *tool : *called;
  const auto id = TRY(message.string("tool_call_id"));
  if (role == "tool") out["tool_call_id"] = id.value_or("call00000");
  TRY(message.done());
  return out;
}

// Without a prompt nothing is asked of the model but to be there.
Translation only_load(Translation out, bool generate) {
  out.only_load = [generate](const AnswerFacts& facts, bool unloaded) {
    return ollama_loaded(facts, generate, unloaded);
  };
  return out;
}

// "1h30m", "1.5s", "-1m", "0"; nothing where the text is none.
std::optional<double> go_seconds(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ns", 1e-9}, {"us", 1e-6}, {"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return 0;
  double seconds = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double number = 0;
    const auto [end, code] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (code != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::size_t length = std::min(text.find_first_of("0123456789."), text.size());
    const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                    [&](const auto& known) { return known.first == text.substr(0, length); });
    if (unit == std::end(kUnits)) return std::nullopt;
    seconds += number * unit->second;
    text.remove_prefix(length);
  }
  return negative ? -seconds : seconds;
}

}  // namespace

Result<std::optional<double>> read_keep_alive(Fields& fields) {
  const json::value* value = fields.value("keep_alive");
  if (value == nullptr) return std::optional<double>();
  std::optional<double> seconds;
  if (value->is_number()) seconds = value->to_number<double>();
  if (const json::string* text = value->if_string()) seconds = go_seconds(*text);
  if (!seconds || !std::isfinite(*seconds))
    return fields.wrong("keep_alive", "seconds, or a duration such as \"5m\"; below 0: for ever");
  return std::optional(*seconds < 0 ? kForever : *seconds);
}

std::string ollama_time(double unix_seconds) {
  const auto whole = static_cast<std::time_t>(std::floor(unix_seconds));
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     static_cast<int>((unix_seconds - std::floor(unix_seconds)) * 1e6));
}

Result<Translation> read_ollama_chat(const json::object& body) {
  Fields fields(body, "");
  Translation out;
  chat::ChatRequest chat;
  TRY(read_common(fields, out, chat.common));
  const json::array* messages = TRY(fields.array("messages"));
  if (messages == nullptr) return fields.missing("messages");
  for (std::size_t i = 0; i < messages->size(); ++i)
    chat.messages.push_back(TRY(read_message((*messages)[i], element("messages", i))));
  chat.continue_final_message = !messages->empty() && chat.messages.back().at("role") == "assistant";
  if (const json::array* tools = TRY(fields.array("tools"))) chat.tools = TRY(read_tools(*tools));
  TRY(read_think(fields, chat));
  TRY(fields.done());
  if (messages->empty()) return only_load(std::move(out), false);
  out.request = std::move(chat);
  out.writer = make_ollama_writer(false);
  return out;
}

Result<Translation> read_ollama_generate(const json::object& body) {
  Fields fields(body, "");
  Translation out;
  chat::ChatRequest chat;
  TRY(read_common(fields, out, chat.common));
  const std::string prompt = TRY(fields.string("prompt")).value_or("");
  const auto suffix = TRY(fields.string("suffix"));
  const std::string system = TRY(fields.string("system")).value_or("");
  const bool raw = TRY(fields.boolean("raw")).value_or(false);
  TRY(fields.only("template", {""}, "the model's own template is used"));
  TRY(fields.only("images", {json::array()}, "there are no images"));
  TRY(fields.refuse("context", "send the conversation to /api/chat"));
  TRY(read_think(fields, chat));
  TRY(fields.done());
  if (prompt.empty() && system.empty() && !suffix) return only_load(std::move(out), true);
  if (prompt.empty()) return bad_field("prompt", "the prompt is empty");
  if (raw || (suffix && !suffix->empty())) {
    if (!system.empty())
      return bad_field("system", "a system message needs the model's template: not with raw or suffix");
    chat::TextRequest text{.common = std::move(chat.common), .prompt = prompt, .suffix = {}};
    if (suffix && !suffix->empty()) text.suffix = *suffix;
    out.request = std::move(text);
  } else {
    if (!system.empty()) chat.messages.push_back(json::object{{"role", "system"}, {"content", system}});
    chat.messages.push_back(json::object{{"role", "user"}, {"content", prompt}});
    out.request = std::move(chat);
  }
  out.writer = make_ollama_writer(true);
  return out;
}

}  // namespace maestrale::serve
