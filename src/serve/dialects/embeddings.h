// Embeddings in the shapes of OpenAI, Mistral and Ollama.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "serve/encoding.h"

namespace maestrale::serve {

inline constexpr std::size_t kMaxInputs = 2048;  // of one request

// POST /v1/embeddings; OpenAI's fields and Mistral's `output_dimension`, `output_dtype`.
Result<Encoding> read_openai_embeddings(const json::object& body, bool mistral);
// POST /api/embed
Result<Encoding> read_ollama_embed(const json::object& body);
// POST /api/embeddings, the older form: one text.
Result<Encoding> read_ollama_embeddings(const json::object& body);

// The bytes of little-endian floats.
std::string base64_of(const std::vector<float>& vector);

}  // namespace maestrale::serve
