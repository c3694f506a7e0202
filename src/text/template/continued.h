// Conversations whose last message is not finished: the prompt ends inside it, as transformers'
// continue_final_message has it.
#pragma once

#include "text/template/template.h"

namespace maestrale::text {

// As ChatTemplate::render(). Where `variables` has continue_final_message: true, add_generation_prompt is
// false and the text ends with the last message's content; blanks at its end go where the template drops
// them. Errors: kInvalidInput, nothing to go on with; kUnsupported, a template that does not show where the
// content ends.
Result<std::string> render_conversation(const ChatTemplate& chat_template, const json::object& variables,
                                        const RenderClock& clock = {});

}  // namespace maestrale::text
