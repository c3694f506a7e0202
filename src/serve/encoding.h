// Embeddings and reranking as a pure translation: JSON to a typed request, vectors and scores to JSON.
#pragma once

#include <functional>
#include <string>
#include <variant>

#include "chat/encoder.h"
#include "serve/translation.h"

namespace maestrale::serve {

struct Encoding {
  std::string model;
  std::variant<chat::EmbedRequest, chat::RerankRequest> request;
  std::string label = {};             // as Translation's
  std::optional<double> keep_s = {};  // …
  std::function<json::value(const AnswerFacts& facts, const engine::EncodeAnswer& answer)> write;
};

}  // namespace maestrale::serve
