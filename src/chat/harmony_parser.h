// gpt-oss's channels: analysis becomes reasoning, messages to functions become calls, the rest is text.
#pragma once

#include <memory>

#include "chat/turn_parser.h"

namespace maestrale::chat {

// Starts inside the header that the prompt's "<|start|>assistant" began.
std::unique_ptr<TurnParser> make_harmony_parser();

}  // namespace maestrale::chat
