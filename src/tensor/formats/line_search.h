// Least-squares search for formats that hold a scale and a minimum per group: value = scale * code - minimum.
#pragma once

#include <cstdint>

#include "tensor/formats/blocks.h"

namespace maestrale {

struct FittedLine {
  float scale = 0, minimum = 0;
};

// Scale (>= 0) and minimum that minimise the weighted squared error of n values with codes 0..code_max.
// Formats that cannot store a negative minimum say so.
FittedLine fit_line(const float* x, const float* weights, int n, int code_max, bool minimum_may_be_negative);

// A block of 256 values in groups of equal size (Q2_K, Q4_K, Q5_K):
// value = (d * scales[group]) * code - dmin * minimums[group].
struct LineBlock {
  BlockF16 d, dmin;
  std::uint8_t scales[16];
  std::uint8_t minimums[16];
  std::uint8_t codes[256];
};

struct LineShape {
  int group_size, code_max, scale_max;
};

// importance may be null.
LineBlock fit_line_block(const float* values, const float* importance, const LineShape& shape);

}  // namespace maestrale
