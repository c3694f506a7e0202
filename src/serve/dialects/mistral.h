// Mistral's API where it differs from OpenAI's: filling in. Its chat completions are read by
// dialects/openai.h.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "serve/translation.h"

namespace maestrale::serve {

// POST /v1/fim/completions
Result<Translation> read_mistral_fim(const json::object& body);

}  // namespace maestrale::serve
