// Q6_K: 256 values in 16 groups of 16 with 8-bit scales: value = d * scale * (code - 32). Element 128 n + 32
// k + l: the low 4 bits are the low (k < 2) or high nibble of ql[64 n + 32 (k % 2) + l], the high 2 bits are
// at bit 2 k of qh[32 n + l].
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/scale_search.h"

namespace maestrale {

void dequantise_q6_k(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ6_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int group = 0; group < 16; ++group) {
      const int half = group / 8, k = group / 2 % 4, offset = 16 * (group % 2);
      const float scale = d * static_cast<float>(block->scales[group]);
      const std::uint8_t* low = block->ql + 64 * half + 32 * (k % 2) + offset;
      const std::uint8_t* high = block->qh + 32 * half + offset;
      const int low_shift = 4 * (k / 2), high_shift = 2 * k;
      for (int l = 0; l < 16; ++l) {
        const int code = ((low[l] >> low_shift) & 15) | (((high[l] >> high_shift) & 3) << 4);
        out[i + 16 * group + l] = scale * static_cast<float>(code - 32);
      }
    }
  }
}

void quantise_q6_k(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ6_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const ScaleBlock fit =
        fit_scale_block(values + i, importance ? importance + i : nullptr, UniformLevels{-32, 31}, 16, 128);
    block->d = fit.d;
    for (int group = 0; group < 16; ++group)
      block->scales[group] = static_cast<std::int8_t>(fit.scales[group]);
    for (int byte = 0; byte < 128; ++byte) {
      const std::uint8_t* codes = fit.codes + 128 * (byte / 64) + byte % 64;
      block->ql[byte] = static_cast<std::uint8_t>((codes[0] & 15) | ((codes[64] & 15) << 4));
    }
    for (int byte = 0; byte < 64; ++byte) {
      unsigned bits = 0;
      for (int k = 0; k < 4; ++k) {
        bits |= (static_cast<unsigned>(fit.codes[128 * (byte / 32) + 32 * k + byte % 32]) >> 4) << (2 * k);
      }
      block->qh[byte] = static_cast<std::uint8_t>(bits);
    }
  }
}

}  // namespace maestrale
