// Answers as Ollama's API gives them: one JSON object, or one in each line.
#pragma once

#include <memory>

#include "serve/translation.h"

namespace maestrale::serve {

// `generate`: as /api/generate, else as /api/chat.
std::unique_ptr<AnswerWriter> make_ollama_writer(bool generate);
// To a request that asked for nothing: the model is loaded, or unloaded.
json::value ollama_loaded(const AnswerFacts& facts, bool generate, bool unloaded);

}  // namespace maestrale::serve
