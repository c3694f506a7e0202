// Which translation each route takes.
#pragma once

#include "net/http.h"
#include "serve/encoding.h"
#include "serve/translation.h"

namespace maestrale::serve {

Result<Translation> read_chat_completions(const json::object& body, const net::Request& request);
Result<Translation> read_completions(const json::object& body, const net::Request& request);
Result<Translation> read_fim_completions(const json::object& body, const net::Request& request);
Result<Translation> read_messages_api(const json::object& body, const net::Request& request);
Result<Translation> read_ollama_chat_api(const json::object& body, const net::Request& request);
Result<Translation> read_ollama_generate_api(const json::object& body, const net::Request& request);

Result<Encoding> read_embeddings_api(const json::object& body, const net::Request& request);
Result<Encoding> read_rerank_api(const json::object& body, const net::Request& request);
Result<Encoding> read_ollama_embed_api(const json::object& body, const net::Request& request);
Result<Encoding> read_ollama_embeddings_api(const json::object& body, const net::Request& request);

}  // namespace maestrale::serve
