#include "serve/dialects/mistral.h"

#include "serve/dialects/openai.h"
#include "serve/dialects/openai_writer.h"

namespace maestrale::serve {

Result<Translation> read_mistral_fim(const json::object& body) {
  Fields fields(body, "");
  Translation out;
  chat::TextRequest request;
  out.model = TRY(fields.required_string("model"));
  request.prompt = TRY(fields.required_string("prompt"));
  request.suffix = TRY(fields.string("suffix")).value_or("");
  TRY(read_openai_sampling(fields, request.common));
  if (const auto most = TRY(fields.integer("max_tokens", 1, kMany))) request.common.max_tokens = *most;
  TRY(fields.only("min_tokens", {0}, "an answer may end at once"));
  TRY(fields.only("metadata", {json::object()}, "answers are not kept"));
  out.stream = TRY(fields.boolean("stream")).value_or(false);
  const bool timings = TRY(fields.boolean("timings")).value_or(false);
  TRY(fields.done());
  out.request = std::move(request);
  out.writer = make_openai_chat_writer({.include_usage = true, .thinking_parts = true, .timings = timings});
  return out;
}

}  // namespace maestrale::serve
