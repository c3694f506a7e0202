// Prompts for filling in what stands between two stretches of code.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/template/prompt.h"

namespace maestrale::chat {

// In the format whose control tokens the vocabulary has: Mistral's (Codestral), DeepSeek's coders, Qwen's
// coders, StarCoder and CodeGemma. The model goes on with the middle.
Result<text::Prompt> fill_in_prompt(const text::Tokenizer& tokenizer, std::string_view prefix,
                                    std::string_view suffix);

}  // namespace maestrale::chat
