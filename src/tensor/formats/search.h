// What the quantisers of block formats share: bounded copies of their input, and the least-squares search for
// the scale of a group of values whose codes stand for fixed levels (value = scale * level).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "tensor/formats/lanes.h"

namespace maestrale {

// Copies n values; NaN becomes 0, and what is beyond the reach of every format is clamped, so that the sums
// of a search stay finite.
void load_values(const float* values, int n, float* out);

// Copies n importance weights scaled to a maximum of 1; n ones where there are none or none is positive.
// Negative and NaN weights count as 0.
void load_weights(const float* importance, int n, float* out);

// round(x) limited to [low, high]; NaN gives low.
inline float round_within(float x, float low, float high) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it leaves no fraction bits
  const float bounded = x > low ? (x < high ? x : high) : low;
  return (bounded + kRounder) - kRounder;
}

inline float inverse_or_zero(float x) {
  const float inverse = x != 0 ? 1.0f / x : 0.0f;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// Codes 0..high-low stand for the whole numbers low..high.
struct UniformLevels {
  float low, high;

  int code(float x) const { return static_cast<int>(round_within(x, low, high) - low); }
  float level(int code) const { return static_cast<float>(code) + low; }
  Lanes nearest(Lanes x) const { return round_within(x, low, high); }  // level(code(x))
  float reach() const { return std::max(-low, high); }
  float search_step() const { return 0.1f; }
};

// Sums over a group for one choice of codes. The best scale for these codes is xl / ll; merit() is the part
// of the squared norm of x that it explains.
struct ScaleSums {
  float xl = 0, ll = 0;

  float scale() const { return ll > 0 ? xl / ll : 0; }
  float merit() const { return scale() * xl; }
};

template <class Levels>
ScaleSums scale_sums(const float* x, const float* weights, int n, const Levels& levels, float inverse_scale) {
  Lanes xl{}, ll{};
  for (int i = 0; i < n; i += kLanes) {
    const Lanes values = load_lanes(x + i);
    const Lanes level = levels.nearest(values * inverse_scale);
    const Lanes weighted = load_lanes(weights + i) * level;
    xl += weighted * values;
    ll += weighted * level;
  }
  return {sum_lanes(xl), sum_lanes(ll)};
}

// The scale that minimises the weighted squared error of n values (bounded by load_values, n a multiple of
// 4). Tries a range of scales in both orientations around "the largest value meets the outermost level", then
// alternates between codes and scale from the best one.
template <class Levels>
float fit_scale(const float* x, const float* weights, int n, const Levels& levels) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  if (!(largest > 1e-15f)) return 0;
  ScaleSums best;
  for (int step = -9; step <= 15; ++step) {
    const float inverse = (levels.reach() + static_cast<float>(step) * levels.search_step()) / largest;
    for (const float orientation : {inverse, -inverse}) {
      const ScaleSums sums = scale_sums(x, weights, n, levels, orientation);
      if (sums.merit() > best.merit()) best = sums;
    }
  }
  for (int round = 0; round < 4 && best.xl != 0; ++round) {
    const ScaleSums sums = scale_sums(x, weights, n, levels, inverse_or_zero(best.scale()));
    if (!(sums.merit() > best.merit())) break;
    best = sums;
  }
  return best.scale();
}

}  // namespace maestrale
