// Activations as the quantised kernels read them: one cache line for every 32 columns of a row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/panel_layout.h"

namespace maestrale::kernels {

struct ActivationBlock {
  std::int8_t codes[kBlockColumns];  // value / scale, in [-127, 127]
  float scale;
  float sum;            // scale * (sum of the codes)
  float half_sums[2];   // the same of columns 0..15 and 16..31
  std::int32_t offset;  // -128 * (sum of the codes): what codes stored with 128 added begin from
  std::int32_t half_offsets[2];
  std::int32_t unused;
};
static_assert(sizeof(ActivationBlock) == 64);

// Blocks from one row to the next: odd, so that the rows of a tile fall into different cache sets.
template <class Index>  // inlined everywhere: no copy of it may carry one instruction set's code
[[gnu::always_inline]] constexpr Index activation_stride(Index columns) {
  return columns / kBlockColumns | 1;
}

}  // namespace maestrale::kernels
