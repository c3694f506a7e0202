#include "serve/routes.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "base/utf8.h"
#include "serve/api.h"
#include "serve/dialects/anthropic.h"
#include "serve/dialects/embeddings.h"
#include "serve/dialects/mistral.h"
#include "serve/dialects/ollama.h"
#include "serve/dialects/openai.h"
#include "serve/dialects/rerank.h"

namespace maestrale::serve {

Result<Translation> read_chat_completions(const json::object& body, const net::Request& request) {
  return read_openai_chat(body, dialect_of(request) == DialectName::kMistral);
}
Result<Translation> read_completions(const json::object& body, const net::Request&) {
  return read_openai_text(body);
}
Result<Translation> read_fim_completions(const json::object& body, const net::Request&) {
  return read_mistral_fim(body);
}
Result<Translation> read_messages_api(const json::object& body, const net::Request&) {
  return read_anthropic(body);
}
Result<Translation> read_ollama_chat_api(const json::object& body, const net::Request&) {
  return read_ollama_chat(body);
}
Result<Translation> read_ollama_generate_api(const json::object& body, const net::Request&) {
  return read_ollama_generate(body);
}
Result<Encoding> read_embeddings_api(const json::object& body, const net::Request& request) {
  return read_openai_embeddings(body, dialect_of(request) == DialectName::kMistral);
}
Result<Encoding> read_rerank_api(const json::object& body, const net::Request&) { return read_rerank(body); }
Result<Encoding> read_ollama_embed_api(const json::object& body, const net::Request&) {
  return read_ollama_embed(body);
}
Result<Encoding> read_ollama_embeddings_api(const json::object& body, const net::Request&) {
  return read_ollama_embeddings(body);
}

namespace {

// What the model can be asked for.
chat::Abilities abilities(const ServedModel& model) { return model.facts.chat.value_or(chat::Abilities{}); }

json::object model_json(const ServedModel& model, DialectName dialect) {
  if (dialect == DialectName::kAnthropic) {
    return {{"type", "model"},
            {"id", model.id},
            {"display_name", model.id},
            {"created_at", ollama_time(static_cast<double>(model.created_s))}};
  }
  json::object out{
      {"id", model.id}, {"object", "model"}, {"created", model.created_s}, {"owned_by", "maestrale"}};
  if (dialect == DialectName::kMistral) {
    out["type"] = "base";
    out["max_context_length"] = model.facts.context;
    out["capabilities"] = json::object{{"completion_chat", abilities(model).chat},
                                       {"function_calling", abilities(model).calls},
                                       {"completion_fim", false},
                                       {"fine_tuning", false},
                                       {"vision", false}};
  }
  out["context_length"] = model.facts.context;
  if (model.adapter) out["parent"] = model.base;
  return out;
}

std::string human_parameters(std::int64_t count) {
  const auto number = static_cast<double>(count);
  if (number >= 1e9) return fmt::format("{:.1f}B", number / 1e9);
  if (number >= 1e6) return fmt::format("{:.1f}M", number / 1e6);
  return fmt::format("{:.1f}K", number / 1e3);
}

json::object details_json(const ServedModel& model) {
  const auto& info = model.facts.info;
  json::array families;
  families.push_back(json::value(info.architecture));
  return {{"parent_model", model.base},
          {"format", model.facts.format},
          {"family", info.architecture},
          {"families", std::move(families)},
          {"parameter_size", human_parameters(info.parameters_total)},
          {"quantization_level", ""}};
}

json::object tag_json(const ServedModel& model) {
  return {{"name", model.id},
          {"model", model.id},
          {"modified_at", ollama_time(static_cast<double>(model.created_s))},
          {"size", model.file_bytes},
          {"digest", ""},
          {"details", details_json(model)}};
}

// {model, prompt | content, add_special?}
struct TextFields {
  std::string text;
  bool add_special, parse_special;
};

Result<TextFields> read_text_fields(const json::object& body) {
  Fields fields(body, "");
  TextFields out{};
  fields.skip("model");
  const auto prompt = TRY(fields.string("prompt"));
  const auto content = TRY(fields.string("content"));
  if (!prompt && !content) return fields.missing("prompt");
  if (prompt && content) return bad_field("content", "both prompt and content");
  out.text = prompt ? *prompt : *content;
  out.add_special = TRY(fields.boolean("add_special_tokens")).value_or(false);
  out.parse_special = TRY(fields.boolean("parse_special")).value_or(false);
  TRY(fields.done());
  return out;
}

}  // namespace

Result<json::value> Api::models(const Call& call) {
  json::array list;
  for (const auto& model : models_.all()) list.push_back(model_json(*model, call.dialect));
  if (call.dialect == DialectName::kAnthropic) {
    return json::value(json::object{{"data", std::move(list)},
                                    {"has_more", false},
                                    {"first_id", models_.all().front()->id},
                                    {"last_id", models_.all().back()->id}});
  }
  return json::value(json::object{{"object", "list"}, {"data", std::move(list)}});
}

Result<json::value> Api::model(const Call& call) {
  constexpr std::string_view kPrefix = "/v1/models/";
  const ServedModel* model = TRY(models_.find(std::string_view(call.request.path).substr(kPrefix.size())));
  return json::value(model_json(*model, call.dialect));
}

Result<json::value> Api::count_tokens(const Call& call, const ModelService& service) {
  const Translation translation = TRY(read_anthropic(call.object, true));
  const text::Prompt prompt = TRY(service.chat->prompt_of(std::get<chat::ChatRequest>(translation.request)));
  return json::value(json::object{{"input_tokens", prompt.tokens.size()}});
}

Result<json::value> Api::tokenize(const Call& call, const ModelService& service) {
  const TextFields fields = TRY(read_text_fields(call.object));
  const auto tokens = service.tokenizer().encode(
      fields.text, {.add_special = fields.add_special, .parse_special = fields.parse_special});
  return json::value(json::object{{"tokens", json::array(tokens.begin(), tokens.end())},
                                  {"count", tokens.size()},
                                  {"max_model_len", service.engine().context()}});
}

Result<json::value> Api::detokenize(const Call& call, const ModelService& service) {
  Fields fields(call.object, "");
  fields.skip("model");
  const json::array* list = TRY(fields.array("tokens"));
  if (list == nullptr) return fields.missing("tokens");
  TRY(fields.done());
  const text::Tokenizer& tokenizer = service.tokenizer();
  std::vector<text::TokenId> tokens;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto token = token_id_of((*list)[i]);
    if (!token || *token >= tokenizer.size())
      return bad_field(element("tokens", i), "a token that the model does not have",
                       fmt::format("0 to {}", tokenizer.size() - 1));
    tokens.push_back(*token);
  }
  return json::value(
      json::object{{"prompt", replace_invalid_utf8(tokenizer.decode(tokens, {.skip_special = false}))}});
}

Result<json::value> Api::tags(const Call&) {
  json::array list;
  for (const auto& model : models_.all()) list.push_back(tag_json(*model));
  return json::value(json::object{{"models", std::move(list)}});
}

Result<json::value> Api::running(const Call&) {
  constexpr double kEndless = 10'981'785'600;  // in the year 2318, as Ollama says it
  const auto now = static_cast<double>(std::time(nullptr));
  json::array list;
  for (const auto& model : models_.all()) {
    const SlotStats stats = models_.pool().stats(model->slot);
    if (!stats.loaded) continue;
    json::object entry = tag_json(*model);
    entry.erase("modified_at");
    entry["expires_at"] = ollama_time(std::min(now + stats.left_s, kEndless));
    if (stats.bytes > 0) entry["size"] = stats.bytes;
    entry["size_vram"] = 0;
    entry["context_length"] = model->facts.context;
    list.push_back(std::move(entry));
  }
  return json::value(json::object{{"models", std::move(list)}});
}

Result<json::value> Api::show(const Call& call) {
  Fields fields(call.object, "");
  const auto name = TRY(fields.string("name"));  // the older spelling
  const std::string wanted = name ? *name : TRY(fields.required_string("model"));
  (void)fields.value("model");
  (void)TRY(fields.boolean("verbose"));
  TRY(fields.only("system", {""}, "models are served as they are"));
  TRY(fields.only("template", {""}, "models are served as they are"));
  TRY(fields.refuse("options", "models are served as they are"));
  TRY(fields.done());
  const ServedModel* model = TRY(models_.find(wanted));
  json::array capabilities;
  capabilities.push_back(model->generates() ? "completion" : "embedding");
  if (abilities(*model).calls) capabilities.push_back("tools");
  if (abilities(*model).thinks) capabilities.push_back("thinking");
  const auto& info = model->facts.info;
  const json::object model_info{{"general.architecture", info.architecture},
                                {"general.parameter_count", info.parameters_total},
                                {info.architecture + ".context_length", info.max_context},
                                {info.architecture + ".embedding_length", info.hidden_size},
                                {info.architecture + ".block_count", info.layers},
                                {info.architecture + ".attention.head_count", info.heads},
                                {info.architecture + ".attention.head_count_kv", info.kv_heads}};
  return json::value(json::object{{"modelfile", ""},
                                  {"parameters", fmt::format("num_ctx {}", model->facts.context)},
                                  {"template", model->facts.chat_template},
                                  {"details", details_json(*model)},
                                  {"model_info", model_info},
                                  {"capabilities", std::move(capabilities)},
                                  {"modified_at", ollama_time(static_cast<double>(model->created_s))}});
}

Result<json::value> Api::version(const Call&) {
  return json::value(json::object{{"version", options_.version}});
}

Result<json::value> Api::health(const Call&) { return json::value(json::object{{"status", "ok"}}); }

}  // namespace maestrale::serve
