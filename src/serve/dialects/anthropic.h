// Anthropic's Messages API.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "serve/translation.h"

namespace maestrale::serve {

// POST /v1/messages; `counting`: the body of count_tokens, which has fewer fields.
Result<Translation> read_anthropic(const json::object& body, bool counting = false);

}  // namespace maestrale::serve
