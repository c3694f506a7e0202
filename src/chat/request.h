// What is asked of a model, whatever API it came through: typed, with nothing left to interpret.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::chat {

// What was said about sampling; what was not said comes from the model's generation_config, then from the
// sampler's defaults. Ranges: engine/sampler/params.h.
struct Sampling {
  std::optional<double> temperature, top_p, min_p, typical_p, repetition_penalty, presence_penalty,
      frequency_penalty;
  std::optional<std::int64_t> top_k, penalty_window;
  std::optional<std::uint64_t> seed;  // else a new one each time
  std::vector<std::pair<text::TokenId, double>> logit_bias = {};
  std::int64_t logprobs = -1;  // alternatives to report; -1: no log-probabilities at all
};

// What the text must be.
struct OutputShape {
  enum class Kind { kFree, kJsonObject, kJsonSchema, kRegex, kGrammar, kChoice };
  Kind kind = Kind::kFree;
  json::value schema = {};                // kJsonSchema
  std::string source = {};                // kRegex; kGrammar: GBNF
  std::vector<std::string> choices = {};  // kChoice
  std::string where = "response_format";  // the field that asked for it
};

struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kNamed };
  Kind kind = Kind::kAuto;
  std::string name = {};  // kNamed
};

// One of the model's adapters (checkpoint().adapters), and how strongly.
struct AdapterWish {
  int index = 0;
  float scale = 1;
};

struct CommonRequest {
  Sampling sampling;
  std::int64_t max_tokens = -1;  // -1: until the model ends or the context is full
  std::vector<std::string> stop = {};
  bool ignore_end = false;
  int choices = 1;
  std::int64_t least_context = 0;  // refused where the model's room is smaller
  OutputShape shape = {};
  std::optional<AdapterWish> adapter = {};  // nothing: the model as it is
  std::string tenant = {};
  double weight = 1;  // share of its tenant among the tenants that have work
  // Asked with the prompt's tokens before the engine is; an error refuses the request. Empty: none.
  std::function<Status(std::int64_t prompt_tokens)> admit = {};
};

struct ChatRequest {
  CommonRequest common;
  // As chat templates take them: {role, content: string, reasoning_content?, tool_calls?: [{id, type,
  // function: {name, arguments: {…}}}], tool_call_id?, name?}.
  json::array messages = {};
  json::array tools = {};  // {type: "function", function: {name, description?, parameters?, strict?}}
  ToolChoice tool_choice = {};
  bool parallel_calls = true;
  bool continue_final_message = false;   // the last message is an answer that is not finished: it goes on
  std::optional<bool> thinking = {};     // whether the model is to think; nothing: as it likes
  std::string reasoning_effort = {};     // empty: not said
  std::int64_t reasoning_budget = -1;    // most tokens of thought; -1: as many as it likes
  json::object template_variables = {};  // further variables of the model's template
};

struct TextRequest {
  CommonRequest common;
  std::variant<std::string, std::vector<text::TokenId>> prompt = std::string();
  std::optional<std::string> suffix = {};  // the model fills in what stands between
  bool add_special = true;                 // the model's own BOS before a text
};

}  // namespace maestrale::chat
