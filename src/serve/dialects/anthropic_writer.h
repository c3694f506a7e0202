// Answers as Anthropic's Messages API gives them.
#pragma once

#include <memory>

#include "serve/translation.h"

namespace maestrale::serve {

std::unique_ptr<AnswerWriter> make_anthropic_writer(bool timings);

}  // namespace maestrale::serve
