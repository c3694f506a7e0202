// Running one request and showing it: streamed text, or one JSON object at the end.
#pragma once

#include <string>
#include <vector>

#include "app/options.h"
#include "base/json.h"
#include "base/result.h"
#include "chat/turn_parser.h"
#include "engine/engine.h"

namespace maestrale::app {

struct ShownGeneration {
  engine::Generation generation;
  chat::Turn turn;                         // where the model's dialect was known
  std::vector<engine::TokenEvent> events;  // kept where log-probabilities were asked for
};

struct StreamOptions {
  bool keep_events = false;
  int sequence = -1;                 // an open sequence, or -1: a new one
  std::int64_t cached = 0;           // how many tokens of the prompt it already holds
  chat::TurnReader* turn = nullptr;  // tells thoughts and calls from text
};

// Prints the text as it comes unless --json. Ctrl-C ends it with reason kCancelled.
Result<ShownGeneration> stream_generation(engine::Engine& engine, const engine::GenerateRequest& request,
                                          const CommonOptions& common, const StreamOptions& options = {});

json::object generation_json(const engine::Engine& engine, const engine::GenerateRequest& request,
                             const ShownGeneration& shown);
// One line on standard error: how much, how fast, why it ended.
std::string speed_note(const engine::GenerateRequest& request, const engine::Generation& generation);
// One line per token on standard error.
void write_logprobs(const engine::Engine& engine, const std::vector<engine::TokenEvent>& events);

// Everything after the text of one answer: newline, JSON, notes. kCancelled where Ctrl-C ended it.
Status finish_generation(const engine::Engine& engine, const engine::GenerateRequest& request,
                         const ShownGeneration& shown, const CommonOptions& common);

Result<engine::GenerateRequest> make_request(std::vector<text::TokenId> prompt, const SamplingOptions& said,
                                             const CommonOptions& common, const engine::Engine& engine);

}  // namespace maestrale::app
