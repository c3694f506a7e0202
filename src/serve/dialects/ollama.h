// Ollama's API: /api/chat and /api/generate.
#pragma once

#include <optional>

#include "base/json.h"
#include "base/result.h"
#include "serve/fields.h"
#include "serve/translation.h"

namespace maestrale::serve {

Result<Translation> read_ollama_chat(const json::object& body);
Result<Translation> read_ollama_generate(const json::object& body);
// `keep_alive`, in seconds: a number, or a duration as Go writes it ("1h30m"); below 0: kForever.
Result<std::optional<double>> read_keep_alive(Fields& fields);
// "2026-01-31T12:34:56.123456Z"
std::string ollama_time(double unix_seconds);

}  // namespace maestrale::serve
