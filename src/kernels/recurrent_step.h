// One token's step of a recurrent layer's convolution and scan. Freestanding.
#pragma once

#include <cstdint>

namespace maestrale::kernels {

struct ConvStep {
  std::int64_t channels = 0;      // of this piece
  int width = 0;                  // inputs that an output sees, at least 1
  std::int64_t stride = 0;        // floats from one row of `weight` and of `state` to the next
  const float* weight = nullptr;  // [width][stride], the oldest input first
  const float* bias = nullptr;
  float* state = nullptr;  // [width - 1][stride], the oldest input first
  const float* x = nullptr;
  float* out = nullptr;
};

struct ScanStep {
  int head_size = 0;
  int state_size = 0;  // a multiple of 16
  float decay = 0;
  float step = 0;                 // multiplies x where it enters the state
  float skip = 0;                 // multiplies x where it goes straight to the output
  const float* x = nullptr;       // [head_size]
  const float* in = nullptr;      // [state_size]
  const float* result = nullptr;  // [state_size]
  float* state = nullptr;         // [head_size][state_size]
  float* out = nullptr;           // [head_size]
};

}  // namespace maestrale::kernels
