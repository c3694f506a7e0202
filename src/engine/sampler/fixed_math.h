// exp and log made of additions and multiplications only, so that every machine draws the same token from the
// same logits; the C library picks its versions by processor.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace maestrale::engine {

// e^x for x <= 0, relative error below 3e-7; 0 below -87.
inline float exp_of_nonpositive(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float clamped = std::max(x, -87.0f);
  const float shifted = clamped * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;  // |r| <= ln 2 / 2
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) + 127u) << 23;
  const float power = std::bit_cast<float>(exponent);
  return x < -87.0f ? 0.0f : p * power;
}

// Natural logarithm of a positive, finite number, relative error near 1e-15.
inline double log_of_positive(double x) {
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);  // exact
  if (mantissa < 0.70710678118654752) {
    mantissa *= 2.0;
    exponent -= 1;
  }
  const double s = (mantissa - 1.0) / (mantissa + 1.0);  // |s| < 0.172; log m = 2 atanh s
  const double square = s * s;
  double series = 0.0;
  for (int k = 23; k >= 1; k -= 2) series = series * square + 1.0 / k;
  return 2.0 * s * series + exponent * 0.69314718055994531;
}

}  // namespace maestrale::engine
