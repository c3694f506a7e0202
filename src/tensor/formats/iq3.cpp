// IQ3_XXS, IQ3_S: 256 values as 64 points of a lattice of 4 magnitudes, signs apart, 4-bit scales of 32
// values. IQ3_XXS: value = d * (0.5 + scale) / 2 * (+-magnitude); IQ3_S: value = d * (1 + 2 scale) *
// (+-magnitude).
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/lattices.h"

namespace maestrale {

void dequantise_iq3_xxs(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ3_XXS>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int point = 0; point < 64; ++point) {
      const std::uint32_t packed = load_u32(block->signs_and_scales[point / 8]);
      const float scale = d * (0.5f + static_cast<float>(packed >> 28)) * 0.5f;
      const unsigned signs = even_signs((packed >> (7 * (point / 2 % 4))) & 127) >> (4 * (point % 2));
      const unsigned digits = kLatticeIQ3_XXS[block->qs[point]];
      for (int j = 0; j < 4; ++j) {
        const float magnitude = kLevelsIQ3_XXS[(digits >> (3 * j)) & 7];
        out[i + 4 * point + j] = scale * ((signs >> j) & 1 ? -magnitude : magnitude);
      }
    }
  }
}

void dequantise_iq3_s(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ3_S>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int point = 0; point < 64; ++point) {
      const int scale_bits = (block->scales[point / 16] >> (4 * (point / 8 % 2))) & 15;
      const float scale = d * static_cast<float>(1 + 2 * scale_bits);
      const unsigned high = (static_cast<unsigned>(block->qh[point / 8]) >> (point % 8)) & 1;
      const unsigned digits = kLatticeIQ3_S[block->qs[point] | (high << 8)];
      const unsigned signs = static_cast<unsigned>(block->signs[point / 2]) >> (4 * (point % 2));
      for (int j = 0; j < 4; ++j) {
        const auto magnitude = static_cast<float>(2 * ((digits >> (3 * j)) & 7) + 1);
        out[i + 4 * point + j] = scale * ((signs >> j) & 1 ? -magnitude : magnitude);
      }
    }
  }
}

}  // namespace maestrale
