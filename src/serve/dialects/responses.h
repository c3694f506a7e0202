// OpenAI's Responses API.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "serve/translation.h"

namespace maestrale::serve {

// A request whose conversation is not put together yet: that takes the store.
struct ResponsesRequest {
  Translation translation;   // a chat::ChatRequest without messages; no writer
  json::array input;         // items (dialects/response_items.h)
  std::string instructions;  // go before the conversation; empty: none
  std::string previous;      // the response that this one follows; empty: none
  bool store = true, background = false, logprobs = false, timings = false;
  json::object echo;  // what the response says again of the request
};

// POST /v1/responses
Result<ResponsesRequest> read_responses(const json::object& body);

// Response objects and the events of a stream.
struct ResponsesWriterOptions {
  json::object echo = {};
  bool logprobs = false, timings = false;
  // The response is over, whatever its status.
  std::function<void(const json::object& response)> finished = {};
};
std::unique_ptr<AnswerWriter> make_responses_writer(ResponsesWriterOptions options);
// A response that has not begun, or has not come to anything: "queued", "cancelled".
json::object empty_response(const AnswerFacts& facts, const json::object& echo, std::string_view status);

}  // namespace maestrale::serve
