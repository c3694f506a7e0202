// The choice of one token from one row of logits: a pure function of (logits, history, parameters, position).
// Ties go to the lower token id everywhere; randomness is rng.h's uniform(seed, stream 0, position) and
// nothing else, so neither the batch nor the order of calls can matter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/sampler/params.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::engine {

struct TokenLogprob {
  text::TokenId token = 0;
  float logprob =
      0.0f;  // natural log of the model's own probability: no bias, penalty, temperature or filter
};

struct Sample {
  text::TokenId token = 0;
  float logprob = 0.0f;
  std::vector<TokenLogprob> top;  // params.logprobs likeliest tokens, likeliest first
};

// Scratch kept between calls, so that the token path does not allocate. One per thread.
class SamplerWorkspace {
 public:
  struct Candidate {
    text::TokenId token;
    float distance;  // (largest logit - logit) / temperature, at least 0
    float weight;    // e^-distance
    float key;       // what the current stage orders by, ascending
  };
  std::vector<float> logits;          // after bias, penalties and mask
  std::vector<float> weights;         // [vocabulary]
  std::vector<Candidate> candidates;  // ascending token id
  std::vector<Candidate> boundary;
  std::vector<text::TokenId> recent;
};

// `history`: the tokens before this position, prompt included. `params` must be valid. `allowed`: one bit for
// each token, bit t % 64 of word t / 64, or nothing; a token without its bit is not chosen. Errors: no
// logits, a logit that is NaN or +infinity, no token left to choose, a token of the bias or the history
// outside the vocabulary.
Result<Sample> sample_token(std::span<const float> logits, std::span<const text::TokenId> history,
                            const SamplingParams& params, std::uint64_t position, SamplerWorkspace& workspace,
                            std::span<const std::uint64_t> allowed = {});
Result<Sample> sample_token(std::span<const float> logits, std::span<const text::TokenId> history,
                            const SamplingParams& params, std::uint64_t position);

}  // namespace maestrale::engine
