// exp, log and sums made of additions and multiplications in a fixed order, so that every machine draws the
// same token from the same logits; the C library picks its versions by processor. Four lanes at a time, in
// the compilers' own vector types, which every target has.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace maestrale::engine {

using Float4 = float __attribute__((vector_size(16)));
using Bits4 = std::int32_t __attribute__((vector_size(16)));

inline Float4 load4(const float* from) {
  Float4 lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
inline Float4 broadcast4(float value) { return Float4{value, value, value, value}; }
inline Float4 select4(Bits4 mask, Float4 yes, Float4 no) {
  return std::bit_cast<Float4>((mask & std::bit_cast<Bits4>(yes)) | (~mask & std::bit_cast<Bits4>(no)));
}

// e^x for x <= 0, relative error below 3e-7; 0 below -87.
inline Float4 exp_of_nonpositive(Float4 x) {
  const Float4 round = broadcast4(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Float4 low = broadcast4(-87.0f);
  const Bits4 tiny = x < low;
  const Float4 clamped = select4(tiny, low, x);
  const Float4 shifted = clamped * 1.44269504f + round;
  const Float4 n = shifted - round;
  const Float4 r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;  // |r| <= ln 2 / 2
  Float4 p = broadcast4(1.0f / 5040.0f);
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Float4 power = std::bit_cast<Float4>((std::bit_cast<Bits4>(shifted) + 127) << 23);
  return select4(tiny, Float4{}, p * power);
}
inline float exp_of_nonpositive(float x) { return exp_of_nonpositive(broadcast4(x))[0]; }

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

// weights[i] = e^((logits[i] - best) · inverse_temperature), best being the largest logit; -infinity gives 0.
void exponentials(std::span<const float> logits, float best, float inverse_temperature,
                  std::span<float> weights);
// Sum in blocks of kSumBlock, each in single precision, the blocks in double.
constexpr std::size_t kSumBlock = 32;
double sum_of(std::span<const float> values);

}  // namespace maestrale::engine
