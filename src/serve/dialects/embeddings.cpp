#include "serve/dialects/embeddings.h"

#include <sodium.h>

#include <bit>

#include "serve/dialects/ollama.h"
#include "serve/fields.h"

namespace maestrale::serve {
namespace {

static_assert(std::endian::native == std::endian::little);

// A text, texts, token ids or lists of token ids.
Status read_inputs(const json::value& input, const std::string& name, bool tokens,
                   chat::EmbedRequest& request) {
  request.where = name;
  request.is_list = false;
  const auto add_text = [&request](const json::string& text, const std::string& path) -> Status {
    if (text.empty()) return bad_field(path, "the text is empty", "at least one character");
    request.inputs.emplace_back(std::string(text));
    return {};
  };
  if (const json::string* text = input.if_string()) return add_text(*text, name);
  const std::string expected = tokens ? "a text, an array of texts, of token ids or of arrays of token ids"
                                      : "a text or an array of texts";
  const json::array* list = input.if_array();
  if (list == nullptr) return bad_field(name, "unusable input", expected, kind_of(input));
  if (list->empty()) return bad_field(name, "there is no input", expected, "an empty array");
  if (tokens && list->front().is_number()) {
    request.inputs.emplace_back(TRY(token_ids_of(*list, name)));
    return {};
  }
  request.is_list = true;
  if (list->size() > kMaxInputs) {
    return bad_field(name, "too many inputs in one request", "at most " + std::to_string(kMaxInputs),
                     std::to_string(list->size()));
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const json::value& entry = (*list)[i];
    const std::string path = element(name, i);
    if (const json::string* text = entry.if_string()) {
      TRY(add_text(*text, path));
    } else if (tokens && entry.is_array()) {
      request.inputs.emplace_back(TRY(token_ids_of(entry.get_array(), path)));
    } else {
      return bad_field(path, "unusable input", tokens ? "a text or an array of token ids" : "a text",
                       kind_of(entry));
    }
  }
  return {};
}

Status read_dimensions(Fields& fields, std::string_view key, chat::EmbedRequest& request) {
  if (const auto count = TRY(fields.integer(key, 1, kMany))) request.dimensions = *count;
  return {};
}

json::value openai_embeddings(const AnswerFacts& facts, const engine::EncodeAnswer& answer, bool mistral,
                              bool base64) {
  json::array data;
  for (const std::vector<float>& vector : answer.vectors) {
    json::value embedding =
        base64 ? json::value(base64_of(vector)) : json::value(json::array(vector.begin(), vector.end()));
    data.push_back(
        json::object{{"object", "embedding"}, {"index", data.size()}, {"embedding", std::move(embedding)}});
  }
  const std::int64_t tokens = answer.usage.prompt_tokens;
  json::object usage{{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  json::object out{{"object", "list"}, {"data", std::move(data)}, {"model", facts.model}};
  if (mistral) {
    usage["completion_tokens"] = 0;
    out["id"] = "embd-" + facts.id;
  }
  out["usage"] = std::move(usage);
  return out;
}

json::value ollama_embeddings(const AnswerFacts& facts, const engine::EncodeAnswer& answer) {
  json::array list;
  for (const std::vector<float>& vector : answer.vectors)
    list.push_back(json::array(vector.begin(), vector.end()));
  return json::object{{"model", facts.model},
                      {"embeddings", std::move(list)},
                      {"total_duration", static_cast<std::int64_t>(answer.usage.total_s * 1e9)},
                      {"load_duration", static_cast<std::int64_t>(facts.load_s * 1e9)},
                      {"prompt_eval_count", answer.usage.prompt_tokens}};
}

json::value ollama_embedding(const AnswerFacts&, const engine::EncodeAnswer& answer) {
  json::array embedding;
  if (!answer.vectors.empty())
    embedding = json::array(answer.vectors.front().begin(), answer.vectors.front().end());
  return json::object{{"embedding", std::move(embedding)}};
}

// What loading and generating take means nothing here, but num_ctx.
Status read_ollama_options(Fields& fields) {
  const json::object* object = TRY(fields.object("options"));
  if (object == nullptr || object->empty()) return {};
  Fields options(*object, "options.");
  return options.refuse(object->begin()->key(),
                        "nothing is sampled, and loading is set when the server starts");
}

}  // namespace

std::string base64_of(const std::vector<float>& vector) {
  const std::size_t bytes = vector.size() * sizeof(float);
  std::string out(sodium_base64_ENCODED_LEN(bytes, sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(vector.data()), bytes,
                    sodium_base64_VARIANT_ORIGINAL);
  out.pop_back();  // the end of a C string
  return out;
}

Result<Encoding> read_openai_embeddings(const json::object& body, bool mistral) {
  Fields fields(body, "");
  Encoding out;
  chat::EmbedRequest request;
  out.model = TRY(fields.required_string("model"));
  // Mistral's documents and its older clients say `inputs`.
  const char* key = fields.has("inputs") && !fields.has("input") ? "inputs" : "input";
  const json::value* input = fields.value(key);
  if (input == nullptr) return fields.missing("input");
  TRY(read_inputs(*input, key, true, request));
  TRY(read_dimensions(fields, "dimensions", request));
  TRY(read_dimensions(fields, "output_dimension", request));
  TRY(fields.only("output_dtype", {"float"}, "numbers are given as float"));
  const std::string format = TRY(fields.string("encoding_format")).value_or("float");
  if (format != "float" && format != "base64") return fields.wrong("encoding_format", "float or base64");
  TRY(fields.only("metadata", {json::object()}, "answers are not kept"));
  out.label = TRY(fields.string("user")).value_or("");
  TRY(fields.done());
  out.request = std::move(request);
  out.write = [mistral, base64 = format == "base64"](const AnswerFacts& facts,
                                                     const engine::EncodeAnswer& answer) {
    return openai_embeddings(facts, answer, mistral, base64);
  };
  return out;
}

Result<Encoding> read_ollama_embed(const json::object& body) {
  Fields fields(body, "");
  Encoding out;
  chat::EmbedRequest request;
  out.model = TRY(fields.required_string("model"));
  const json::value* input = fields.value("input");
  // Their way of loading a model: nothing is asked, nothing comes back.
  const bool nothing = input == nullptr || *input == "" || *input == json::array();
  if (!nothing) TRY(read_inputs(*input, "input", false, request));
  TRY(read_dimensions(fields, "dimensions", request));
  request.truncate = TRY(fields.boolean("truncate")).value_or(false);
  TRY(read_ollama_options(fields));
  out.keep_s = TRY(read_keep_alive(fields));
  TRY(fields.done());
  out.request = std::move(request);
  out.write = ollama_embeddings;
  return out;
}

Result<Encoding> read_ollama_embeddings(const json::object& body) {
  Fields fields(body, "");
  Encoding out;
  chat::EmbedRequest request;
  out.model = TRY(fields.required_string("model"));
  const std::string prompt = TRY(fields.string("prompt")).value_or("");
  request.where = "prompt";
  request.is_list = false;
  if (!prompt.empty()) request.inputs.emplace_back(prompt);
  TRY(read_ollama_options(fields));
  out.keep_s = TRY(read_keep_alive(fields));
  TRY(fields.done());
  out.request = std::move(request);
  out.write = ollama_embedding;
  return out;
}

}  // namespace maestrale::serve
