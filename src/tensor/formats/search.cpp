#include "tensor/formats/search.h"

namespace maestrale {

void load_values(const float* values, int n, float* out) {
  constexpr float kLargest = 1e9f;  // above 65504 * 63 * 31, the largest value that a K-quant can hold
  for (int i = 0; i < n; ++i) {
    const float x = values[i];
    out[i] = x > kLargest ? kLargest : x < -kLargest ? -kLargest : x == x ? x : 0.0f;
  }
}

void load_weights(const float* importance, int n, float* out) {
  float largest = 0;
  for (int i = 0; importance != nullptr && i < n; ++i) largest = std::max(largest, importance[i]);
  if (!(largest > 0)) {
    std::fill(out, out + n, 1.0f);
    return;
  }
  if (std::isinf(largest)) largest = 3e38f;
  for (int i = 0; i < n; ++i) out[i] = importance[i] > 0 ? std::min(importance[i] / largest, 1.0f) : 0.0f;
}

}  // namespace maestrale
