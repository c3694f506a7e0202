// Answers as Ollama's API gives them: one JSON object, or one in each line.
#pragma once

#include <memory>

#include "serve/translation.h"

namespace maestrale::serve {

// `generate`: as /api/generate, else as /api/chat.
std::unique_ptr<AnswerWriter> make_ollama_writer(bool generate);

}  // namespace maestrale::serve
