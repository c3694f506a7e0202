// Activations to int8 in blocks of 32: scale = largest magnitude / 127, code = x * (1 / scale) to nearest
// even. Freestanding.
#pragma once

#include "kernels/activation_block.h"

namespace maestrale::kernels {

// The largest magnitude is found among the bit patterns, where every NaN is above infinity: a block that
// holds one gets a NaN scale, so the outputs it feeds are NaN on every instruction set. A scale below the
// smallest normal number is taken as 0.
template <class V>
void quantise_row(const float* x, std::int64_t columns, std::byte* out) {
  using F32 = typename V::F32;
  using I32 = typename V::I32;
  auto* blocks = reinterpret_cast<ActivationBlock*>(out);
  const std::int64_t count = columns / kBlockColumns;
  for (std::int64_t b = 0; b < count; ++b) {
    const F32 low = V::load(x + b * kBlockColumns);
    const F32 high = V::load(x + b * kBlockColumns + 16);
    const I32 magnitude = V::imax(V::as_i32(V::abs(low)), V::as_i32(V::abs(high)));
    const float largest = __builtin_bit_cast(float, V::ilargest(magnitude));
    float scale = largest / 127.0f;
    if (scale < 0x1p-126f) scale = 0.0f;
    const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    const auto code = [&](const F32& value) __attribute__((always_inline)) {
      const F32 scaled = V::mul(value, V::broadcast(inverse));
      return V::round_i32(V::min(V::max(scaled, V::broadcast(-127.0f)), V::broadcast(127.0f)));
    };
    const I32 low_codes = code(low);
    const I32 high_codes = code(high);
    const std::int32_t sums[2] = {V::isum(low_codes), V::isum(high_codes)};
    ActivationBlock& block = blocks[b];
    V::store_i8x16(block.codes, low_codes);
    V::store_i8x16(block.codes + 16, high_codes);
    block.scale = scale;
    block.sum = scale * static_cast<float>(sums[0] + sums[1]);
    block.offset = -128 * (sums[0] + sums[1]);
    for (int half = 0; half < 2; ++half) {
      block.half_sums[half] = scale * static_cast<float>(sums[half]);
      block.half_offsets[half] = -128 * sums[half];
    }
    block.unused = 0;
  }
  if (activation_stride(count * kBlockColumns) != count) blocks[count] = ActivationBlock{};
}

}  // namespace maestrale::kernels
