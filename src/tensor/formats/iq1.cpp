// IQ1_S, IQ1_M: 256 values as 32 points of a lattice of 8 trits, each point shifted by +-1/8, 3-bit scales.
// value = d * (2 scale + 1) * (trit +- 1/8). In IQ1_M the f16 d lies in the top nibbles of the four u16 of
// scales.
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/lattices.h"

namespace maestrale {
namespace {

constexpr float kShift = 0.125f;

inline void unpack_point(unsigned index, float shift, float scale, float* out) {
  const unsigned digits = kLatticeIQ1[index];
  for (unsigned j = 0; j < 8; ++j) {
    const int trit = static_cast<int>((digits >> (2 * j)) & 3) - 1;
    out[j] = scale * (static_cast<float>(trit) + shift);
  }
}

inline float sub_scale(float d, unsigned scale) { return d * static_cast<float>(2 * scale + 1); }

}  // namespace

void dequantise_iq1_s(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ1_S>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int point = 0; point < 32; ++point) {
      const unsigned packed = load_u16(block->qh + 2 * (point / 4));
      const unsigned high = (packed >> (3 * (point % 4))) & 7;
      const float shift = packed & 0x8000 ? -kShift : kShift;
      unpack_point(block->qs[point] | (high << 8), shift, sub_scale(d, (packed >> 12) & 7),
                   out + i + 8 * point);
    }
  }
}

void dequantise_iq1_m(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ1_M>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    unsigned d_bits = 0;
    for (unsigned k = 0; k < 4; ++k)
      d_bits |= (static_cast<unsigned>(block->scales[2 * k + 1]) >> 4) << (4 * k);
    const float d = f16_to_f32(static_cast<std::uint16_t>(d_bits));
    for (int point = 0; point < 32; ++point) {
      const unsigned scales = load_u16(block->scales + 2 * (point / 8));
      const unsigned nibble = (static_cast<unsigned>(block->qh[point / 2]) >> (4 * (point % 2))) & 15;
      const float shift = nibble & 8 ? -kShift : kShift;
      const float scale = sub_scale(d, (scales >> (3 * (point / 2 % 4))) & 7);
      unpack_point(block->qs[point] | ((nibble & 7) << 8), shift, scale, out + i + 8 * point);
    }
  }
}

}  // namespace maestrale
