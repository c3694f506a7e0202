// Items of OpenAI's Responses API: what a conversation there is made of.
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"

namespace maestrale::serve {

// `input`: a text or an array of items. Each item is checked and comes out whole, with an id of its own where
// it had none: messages, reasoning, function_call, function_call_output; item_reference as it is.
Result<json::array> read_response_items(const json::value& input);
// Items without references, as messages for the model (chat/request.h).
json::array messages_of_items(const json::array& items);
// A message of one text: {type: "message", id, role, status, content: [{type, text}]}
json::object message_item(std::string_view role, std::string text);

}  // namespace maestrale::serve
