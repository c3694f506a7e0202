// IQ2_XXS, IQ2_XS, IQ2_S: 256 values as 32 points of a lattice of 8 magnitudes, signs apart, 4-bit scales.
// value = d * (0.5 + scale) / 4 * (+-magnitude).
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/lattices.h"

namespace maestrale {
namespace {

inline void unpack_point(unsigned point, unsigned signs, float scale, float* out) {
  for (unsigned j = 0; j < 8; ++j) {
    const float magnitude = kLevelsIQ2[(point >> (2 * j)) & 3];
    out[j] = scale * ((signs >> j) & 1 ? -magnitude : magnitude);
  }
}

inline float sub_scale(float d, unsigned scale) { return d * (0.5f + static_cast<float>(scale)) * 0.25f; }

}  // namespace

void dequantise_iq2_xxs(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ2_XXS>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int group = 0; group < 8; ++group) {
      const std::uint8_t* indices = block->groups[group];
      const std::uint32_t packed = load_u32(indices + 4);
      const float scale = sub_scale(d, packed >> 28);
      for (int l = 0; l < 4; ++l) {
        const unsigned signs = even_signs((packed >> (7 * l)) & 127);
        unpack_point(kLatticeIQ2_XXS[indices[l]], signs, scale, out + i + 32 * group + 8 * l);
      }
    }
  }
}

void dequantise_iq2_xs(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ2_XS>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int point = 0; point < 32; ++point) {
      const unsigned code = load_u16(block->qs + 2 * point);
      const unsigned scales = block->scales[point / 4];
      const float scale = sub_scale(d, point % 4 < 2 ? scales & 15 : scales >> 4);
      unpack_point(kLatticeIQ2_XS[code & 511], even_signs(code >> 9), scale, out + i + 8 * point);
    }
  }
}

void dequantise_iq2_s(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ2_S>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int point = 0; point < 32; ++point) {
      const unsigned high = (static_cast<unsigned>(block->qh[point / 4]) >> (2 * (point % 4))) & 3;
      const unsigned scales = block->scales[point / 4];
      const float scale = sub_scale(d, point % 4 < 2 ? scales & 15 : scales >> 4);
      unpack_point(kLatticeIQ2_S[block->qs[point] | (high << 8)], block->signs[point], scale,
                   out + i + 8 * point);
    }
  }
}

}  // namespace maestrale
