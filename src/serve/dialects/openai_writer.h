// Answers as OpenAI's API gives them.
#pragma once

#include <memory>
#include <string>

#include "serve/translation.h"

namespace maestrale::serve {

struct OpenAiWriterOptions {
  bool include_usage = false;   // of a stream: in a last chunk of its own
  bool thinking_parts = false;  // thoughts as parts of the content, Mistral's way
  std::string echo = {};        // goes before the text
  bool timings = false;         // how long the request took; of a stream: in its last chunk
};
// {token, logprob, bytes, top_logprobs}
json::object openai_logprob(const chat::TokenNote& note);
std::unique_ptr<AnswerWriter> make_openai_chat_writer(OpenAiWriterOptions options);
std::unique_ptr<AnswerWriter> make_openai_text_writer(OpenAiWriterOptions options);

}  // namespace maestrale::serve
