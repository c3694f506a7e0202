// SamplingParams: how the next token is chosen. The defaults change nothing: plain sampling from the model's
// own distribution. Stages run in this order: logit bias; repetition, presence and frequency penalties;
// temperature 0 stops here and takes the maximum; temperature; top-k; typical; top-p; min-p; the draw.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::engine {

struct SamplingParams {
  double temperature = 1.0;  // 0 … 100; 0 is greedy: the lowest token id among the largest logits
  std::int64_t top_k = 0;    // keep the k likeliest tokens; 0 keeps all
  double top_p = 1.0;        // (0, 1]: the smallest set of likeliest tokens that holds this share
  double min_p = 0.0;        // [0, 1]: drop what is less likely than this share of the likeliest
  double typical_p = 1.0;    // (0, 1]: locally typical sampling (Meister et al. 2022)
  double repetition_penalty =
      1.0;  // (0, 100]: divides positive, multiplies negative logits (Keskar et al. 2019)
  double presence_penalty = 0.0;     // [-100, 100]: taken off once for a token that occurred
  double frequency_penalty = 0.0;    // [-100, 100]: taken off for every time it occurred
  std::int64_t penalty_window = 64;  // how many of the last tokens the penalties see; 0 none, -1 all
  std::vector<std::pair<text::TokenId, double>> logit_bias =
      {};  // added to the logit; -infinity forbids a token
  std::uint64_t seed = 0;
  std::int64_t logprobs = 0;  // 0 … 1000 alternatives reported beside the chosen token

  static constexpr std::int64_t kMaxLogprobs = 1000;

  // Names the field and its range. NaN is never in range.
  Status validate() const;
  bool uses_penalties() const;
};

}  // namespace maestrale::engine
