// Q4_K and Q5_K: 256 values in 8 groups of 32 with 6-bit scales and minimums:
// value = d * scale * code - dmin * minimum. Groups 2 c and 2 c + 1 are the low and high nibbles of bytes 32
// c to 32 c + 31; the fifth bit of Q5_K is bit `group` of qh[l].
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/k_scales.h"
#include "tensor/formats/line_search.h"

namespace maestrale {
namespace {

void pack_low_nibbles(const std::uint8_t* codes, std::uint8_t* qs) {
  for (int byte = 0; byte < 128; ++byte) {
    const std::uint8_t* pair = codes + 64 * (byte / 32) + byte % 32;
    qs[byte] = static_cast<std::uint8_t>((pair[0] & 15) | ((pair[32] & 15) << 4));
  }
}

}  // namespace

void dequantise_q4_k(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ4_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value(), dmin = block->dmin.value();
    const KScales pairs = unpack_k_scales(block->scales);
    for (int c = 0; c < 4; ++c) {
      const float low_scale = d * pairs.scales[2 * c], high_scale = d * pairs.scales[2 * c + 1];
      const float low_minimum = dmin * pairs.minimums[2 * c], high_minimum = dmin * pairs.minimums[2 * c + 1];
      const std::uint8_t* qs = block->qs + 32 * c;
      float* __restrict to = out + i + 64 * c;
      for (int l = 0; l < 32; ++l) to[l] = low_scale * static_cast<float>(qs[l] & 15) - low_minimum;
      for (int l = 0; l < 32; ++l) to[l + 32] = high_scale * static_cast<float>(qs[l] >> 4) - high_minimum;
    }
  }
}

void quantise_q4_k(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ4_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const LineBlock fit = fit_line_block(values + i, importance ? importance + i : nullptr,
                                         {.group_size = 32, .code_max = 15, .scale_max = 63});
    block->d = fit.d;
    block->dmin = fit.dmin;
    pack_k_scales(fit.scales, fit.minimums, block->scales);
    pack_low_nibbles(fit.codes, block->qs);
  }
}

void dequantise_q5_k(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ5_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value(), dmin = block->dmin.value();
    const KScales pairs = unpack_k_scales(block->scales);
    for (int group = 0; group < 8; ++group) {
      const float scale = d * pairs.scales[group], minimum = dmin * pairs.minimums[group];
      const std::uint8_t* qs = block->qs + 32 * (group / 2);
      const int shift = 4 * (group % 2);
      for (int l = 0; l < 32; ++l) {
        const int code = ((qs[l] >> shift) & 15) | (((block->qh[l] >> group) & 1) << 4);
        out[i + 32 * group + l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

void quantise_q5_k(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ5_K>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const LineBlock fit = fit_line_block(values + i, importance ? importance + i : nullptr,
                                         {.group_size = 32, .code_max = 31, .scale_max = 63});
    block->d = fit.d;
    block->dmin = fit.dmin;
    pack_k_scales(fit.scales, fit.minimums, block->scales);
    pack_low_nibbles(fit.codes, block->qs);
    for (int l = 0; l < 32; ++l) {
      unsigned bits = 0;
      for (int group = 0; group < 8; ++group) {
        bits |= (static_cast<unsigned>(fit.codes[32 * group + l]) >> 4) << group;
      }
      block->qh[l] = static_cast<std::uint8_t>(bits);
    }
  }
}

}  // namespace maestrale
