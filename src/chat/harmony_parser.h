// gpt-oss's channels: analysis becomes reasoning, messages to functions become calls, the rest is text.
#pragma once

#include <memory>

#include "chat/turn_parser.h"

namespace maestrale::chat {

// A new answer starts inside the header that the prompt's "<|start|>assistant" began; kText: in the final
// channel.
std::unique_ptr<TurnParser> make_harmony_parser(TurnStart start);

}  // namespace maestrale::chat
