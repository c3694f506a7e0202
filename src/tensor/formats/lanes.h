// Four floats side by side, for the sums of the quantisers' searches: a portable vector type of g++ and
// clang, so that baseline builds do four values per step. Sums over lanes have a fixed order.
#pragma once

#include <cstring>

namespace maestrale {

using Lanes = float __attribute__((vector_size(16)));
constexpr int kLanes = 4;

inline Lanes load_lanes(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

inline Lanes all_lanes(float value) { return Lanes{value, value, value, value}; }

inline float sum_lanes(Lanes lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

// round(x) limited to [low, high], low and high of few digits.
inline Lanes round_within(Lanes x, float low, float high) {
  const Lanes rounder = all_lanes(12582912.0f);  // 1.5 * 2^23: adding it leaves no fraction bits
  const Lanes from_below = x > all_lanes(low) ? x : all_lanes(low);
  const Lanes bounded = from_below < all_lanes(high) ? from_below : all_lanes(high);
  return (bounded + rounder) - rounder;
}

}  // namespace maestrale
