// OpenAI's API: chat completions (which Mistral's shares, with additions), completions, models.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "serve/fields.h"
#include "serve/translation.h"

namespace maestrale::serve {

// POST /v1/chat/completions. `mistral`: thoughts are parts of the content, as Mistral's clients expect.
Result<Translation> read_openai_chat(const json::object& body, bool mistral);
// POST /v1/completions
Result<Translation> read_openai_text(const json::object& body);

// Parts that dialects share.
Status read_openai_sampling(Fields& fields, chat::CommonRequest& common);
// response_format: OpenAI's types, and regex, grammar (GBNF) and choice of our own. `path`: of the object,
// with its dot; `flat`: a schema stands beside the type (Responses), else in json_schema.
Status read_openai_shape(const json::object& object, const std::string& path, bool flat,
                         chat::OutputShape& shape);
// "" where nothing is said.
Result<std::string> read_openai_effort(Fields& fields, std::string_view key);
// Who asks: goes to the log, and is nobody else's business.
Result<std::string> read_openai_label(Fields& fields);
Result<std::vector<std::string>> read_stops(Fields& fields, std::string_view key);
json::object openai_usage(const chat::AnswerDone& done);
std::string_view openai_finish(chat::End end);

}  // namespace maestrale::serve
