// The stages that narrow the candidates: top-k, typical, top-p, min-p. Each keeps at least one candidate and
// keeps them in ascending token order. Linear in the number of candidates: only the tokens that share a
// narrow band with the cut are sorted.
#pragma once

#include <cstdint>
#include <span>

#include "engine/sampler/params.h"
#include "engine/sampler/sample.h"

namespace maestrale::engine {

struct ScaledLogits {
  std::span<const float> logits;
  float best = 0;  // the largest logit
  float inverse_temperature = 1;
};

// Runs all four stages over the vocabulary; workspace.weights holds its exponentials. The candidates that
// remain are in workspace.candidates.
void run_filters(const ScaledLogits& scaled, const SamplingParams& params, SamplerWorkspace& workspace);

}  // namespace maestrale::engine
