// Rotary position embedding: from a configuration to the frequencies that ops rotate by.
// Sources: RoPE (arXiv 2104.09864), YaRN (arXiv 2309.00071), Llama 3.1's scaling (meta-llama/llama-models).
#pragma once

#include <cstdint>
#include <vector>

#include "ops/ops.h"

namespace maestrale::nn {

enum class RopeScaling : std::uint8_t { kNone, kLinear, kLlama3, kYarn, kDivisors };

struct RopeOptions {
  ops::RopePairing pairing = ops::RopePairing::kInterleaved;
  std::int64_t rotated = 0;  // dimensions of a head that are rotated, even
  double base = 10000;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  double original_context = 0;             // llama3, yarn
  double low_factor = 1, high_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;    // yarn
  bool truncate = true;                    // yarn: round the corrected range to whole dimensions
  double magnitude = 1;                    // multiplies cos and sin
  std::vector<float> divisors;             // kDivisors: [rotated / 2], as GGUF's rope_freqs.weight
};

// YaRN's magnitude 0.1·scale·ln(factor) + 1 (1 where factor ≤ 1).
double yarn_magnitude(double factor, double scale);

// [rotated / 2] inverse frequencies.
std::vector<float> rope_frequencies(const RopeOptions& options);

}  // namespace maestrale::nn
