// Q3_K: 256 values in 16 groups of 16 with 6-bit scales: value = d * (scale - 32) * (code - 4). The low 2
// bits of codes lie as in Q2_K; the high bit of element 128 n + 32 s + l is bit 4 n + s of hmask[l]. Scale j:
// the low 4 bits are a nibble of byte j % 8, the high 2 bits are at bit 2 (j / 4) of byte 8 + j % 4.
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/scale_search.h"

namespace maestrale {
namespace {

int unpack_scale(const std::uint8_t* packed, int j) {
  const int low = (packed[j % 8] >> (4 * (j / 8))) & 15;
  const int high = (packed[8 + j % 4] >> (2 * (j / 4))) & 3;
  return (low | (high << 4)) - 32;
}

void pack_scales(const int* scales, std::uint8_t* packed) {
  unsigned bytes[12] = {};
  for (int j = 0; j < 16; ++j) {
    const auto scale = static_cast<unsigned>(scales[j] + 32);
    bytes[j % 8] |= (scale & 15) << (4 * (j / 8));
    bytes[8 + j % 4] |= (scale >> 4) << (2 * (j / 4));
  }
  for (int byte = 0; byte < 12; ++byte) packed[byte] = static_cast<std::uint8_t>(bytes[byte]);
}

}  // namespace

void dequantise_q3_k(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ3_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int group = 0; group < 16; ++group) {
      const float scale = d * static_cast<float>(unpack_scale(block->scales, group));
      const std::uint8_t* qs = block->qs + 32 * (group / 8) + 16 * (group % 2);
      const std::uint8_t* high = block->hmask + 16 * (group % 2);
      const int shift = 2 * (group / 2 % 4), high_shift = group / 2;
      for (int l = 0; l < 16; ++l) {
        const int code = ((qs[l] >> shift) & 3) | (((high[l] >> high_shift) & 1) << 2);
        out[i + 16 * group + l] = scale * static_cast<float>(code - 4);
      }
    }
  }
}

void quantise_q3_k(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ3_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const ScaleBlock fit =
        fit_scale_block(values + i, importance ? importance + i : nullptr, UniformLevels{-4, 3}, 16, 32);
    block->d = fit.d;
    pack_scales(fit.scales, block->scales);
    for (int byte = 0; byte < 64; ++byte) {
      unsigned bits = 0;
      for (int s = 0; s < 4; ++s) bits |= (fit.codes[128 * (byte / 32) + 32 * s + byte % 32] & 3u) << (2 * s);
      block->qs[byte] = static_cast<std::uint8_t>(bits);
    }
    for (int byte = 0; byte < 32; ++byte) {
      unsigned bits = 0;
      for (int s = 0; s < 8; ++s) bits |= (static_cast<unsigned>(fit.codes[32 * s + byte]) >> 2) << s;
      block->hmask[byte] = static_cast<std::uint8_t>(bits);
    }
  }
}

}  // namespace maestrale
