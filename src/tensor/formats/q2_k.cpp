// Q2_K: 256 values in 16 groups of 16 with 4-bit scales and minimums: value = d * scale * code - dmin *
// minimum. Codes of 2 bits: element 128 n + 32 s + l is in byte 32 n + l at bit 2 s.
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/line_search.h"

namespace maestrale {

void dequantise_q2_k(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ2_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value(), dmin = block->dmin.value();
    for (int group = 0; group < 16; ++group) {
      const float scale = d * static_cast<float>(block->scales[group] & 15);
      const float minimum = dmin * static_cast<float>(block->scales[group] >> 4);
      const std::uint8_t* qs = block->qs + 32 * (group / 8) + 16 * (group % 2);
      const int shift = 2 * (group / 2 % 4);
      for (int l = 0; l < 16; ++l) {
        out[i + 16 * group + l] = scale * static_cast<float>((qs[l] >> shift) & 3) - minimum;
      }
    }
  }
}

void quantise_q2_k(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ2_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const LineBlock fit = fit_line_block(values + i, importance ? importance + i : nullptr,
                                         {.group_size = 16, .code_max = 3, .scale_max = 15});
    block->d = fit.d;
    block->dmin = fit.dmin;
    for (int group = 0; group < 16; ++group) {
      block->scales[group] = static_cast<std::uint8_t>(fit.scales[group] | (fit.minimums[group] << 4));
    }
    for (int byte = 0; byte < 64; ++byte) {
      const std::uint8_t* codes = fit.codes + 128 * (byte / 32) + byte % 32;
      block->qs[byte] =
          static_cast<std::uint8_t>(codes[0] | (codes[32] << 2) | (codes[64] << 4) | (codes[96] << 6));
    }
  }
}

}  // namespace maestrale
