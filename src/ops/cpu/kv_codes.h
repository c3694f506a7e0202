// Eight-bit codes of keys and values, the same wherever they are stored.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace maestrale::ops {

// Int8 codes of one block and their scale: absmax / 127, round to nearest even.
inline float quantise_kv_block(const float* x, int n, std::int8_t* codes) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = largest / 127.0f;
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  for (int i = 0; i < n; ++i) {
    codes[i] = static_cast<std::int8_t>(std::clamp(std::nearbyint(x[i] * inverse), -127.0f, 127.0f));
  }
  return scale;
}

}  // namespace maestrale::ops
