// Codes for blocks of 32 values with one scale (and one minimum). Without importance weights the scale comes
// from the extremes alone, the published rule of these formats; with them it comes from a search.
#pragma once

#include "tensor/formats/blocks.h"
#include "tensor/formats/line_search.h"
#include "tensor/formats/search.h"

namespace maestrale {

// Element j in the low nibble of byte j, element j + 16 in the high one.
inline void pack_nibbles(const std::uint8_t* codes, std::uint8_t* bytes) {
  for (int j = 0; j < 16; ++j)
    bytes[j] = static_cast<std::uint8_t>((codes[j] & 15) | ((codes[j + 16] & 15) << 4));
}

inline float within_f16(float x) { return x > kF16Max ? kF16Max : x < -kF16Max ? -kF16Max : x; }

// Truncates to a code 0..max; NaN gives 0.
inline std::uint8_t truncate_to_code(float x, int max) {
  const auto top = static_cast<float>(max);
  return static_cast<std::uint8_t>(x > 0 ? (x < top ? x : top) : 0.0f);
}

// value = (code - kReach) * d, codes 0..2 kReach - 1: the value of largest magnitude becomes code 0 exactly.
template <int kReach>
BlockF16 fit_signed_codes(const float* x, const float* importance, std::uint8_t* codes) {
  constexpr auto kReachF = static_cast<float>(kReach);
  BlockF16 stored;
  float d = 0;
  if (importance != nullptr) {
    float bounded[32], weights[32];
    load_values(x, 32, bounded);
    load_weights(importance, 32, weights);
    stored.store(fit_scale(bounded, weights, 32, UniformLevels{-kReachF, kReachF - 1}));
    d = stored.value();
  } else {
    float magnitude = 0, outermost = 0;
    for (int j = 0; j < 32; ++j) {
      if (std::fabs(x[j]) > magnitude) {
        magnitude = std::fabs(x[j]);
        outermost = x[j];
      }
    }
    d = within_f16(outermost / -kReachF);
    stored.store(d);
  }
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (int j = 0; j < 32; ++j) codes[j] = truncate_to_code(x[j] * inverse + (kReachF + 0.5f), 2 * kReach - 1);
  return stored;
}

struct StoredLine {
  BlockF16 d, m;
};

// value = code * d + m, codes 0..kCodeMax.
template <int kCodeMax>
StoredLine fit_line_codes(const float* x, const float* importance, std::uint8_t* codes) {
  StoredLine stored;
  float d = 0, m = 0;
  if (importance != nullptr) {
    float bounded[32], weights[32];
    load_values(x, 32, bounded);
    load_weights(importance, 32, weights);
    const FittedLine line = fit_line(bounded, weights, 32, kCodeMax, true);
    stored.d.store(line.scale);
    stored.m.store(-line.minimum);
    d = stored.d.value();
    m = stored.m.value();
  } else {
    float low = x[0], high = x[0];
    for (int j = 1; j < 32; ++j) {
      low = x[j] < low ? x[j] : low;
      high = x[j] > high ? x[j] : high;
    }
    m = within_f16(low);
    d = within_f16((high - low) / static_cast<float>(kCodeMax));
    stored.d.store(d);
    stored.m.store(m);
  }
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (int j = 0; j < 32; ++j) codes[j] = truncate_to_code((x[j] - m) * inverse + 0.5f, kCodeMax);
  return stored;
}

}  // namespace maestrale
