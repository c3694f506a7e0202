// IQ4_NL: 32 values, value = d * level[code]; IQ4_XS: 256 values in 8 groups of 32 with 6-bit scales,
// value = d * (scale - 32) * level[code]. Codes of 4 bits, nibbles as in Q4_0. Scale j of IQ4_XS: the low 4
// bits are a nibble of scales_l[j / 2], the high 2 bits are at bit 2 j of the u16 scales_h.
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/iq4_levels.h"
#include "tensor/formats/scale_search.h"
#include "tensor/formats/simple_fit.h"

namespace maestrale {
namespace {

// kLevelsIQ4 for the searches. All midpoints between levels are multiples of 1/2, so that the nearest level
// follows from floor(2 x).
struct IQ4Levels {
  int code(float x) const {
    const float bounded = x > -127.0f ? (x < 113.0f ? x : 113.0f) : -127.0f;
    return kNearest.codes[static_cast<int>(2 * (bounded + 127.0f))];
  }
  float level(int code) const { return kLevelsIQ4[code]; }
  Lanes nearest(Lanes x) const {
    return Lanes{level(code(x[0])), level(code(x[1])), level(code(x[2])), level(code(x[3]))};
  }
  float reach() const { return 127; }
  float search_step() const { return 1.5f; }

  static constexpr auto kNearest = [] {
    struct Table {
      std::uint8_t codes[481];
    } table{};
    int code = 0;
    for (int half = 0; half < 481; ++half) {
      const float x = static_cast<float>(half) / 2 - 127;
      while (code < 15 && x - kLevelsIQ4[code] >= kLevelsIQ4[code + 1] - x) ++code;
      table.codes[half] = static_cast<std::uint8_t>(code);
    }
    return table;
  }();
};

inline void unpack_group(const std::uint8_t* qs, float scale, float* __restrict out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = scale * kLevelsIQ4[qs[j] & 15];
    out[j + 16] = scale * kLevelsIQ4[qs[j] >> 4];
  }
}

}  // namespace

void dequantise_iq4_nl(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ4_NL>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) unpack_group(block->qs, block->d.value(), out + i);
}

void quantise_iq4_nl(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockIQ4_NL>(blocks);
  const IQ4Levels levels;
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    float x[32], weights[32];
    load_values(values + i, 32, x);
    load_weights(importance ? importance + i : nullptr, 32, weights);
    block->d.store(fit_scale(x, weights, 32, levels));
    const float inverse = inverse_or_zero(block->d.value());
    std::uint8_t codes[32];
    for (int j = 0; j < 32; ++j) codes[j] = static_cast<std::uint8_t>(levels.code(x[j] * inverse));
    pack_nibbles(codes, block->qs);
  }
}

void dequantise_iq4_xs(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockIQ4_XS>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    const int high = load_u16(block->scales_h);
    for (int group = 0; group < 8; ++group) {
      const int low = (block->scales_l[group / 2] >> (4 * (group % 2))) & 15;
      const int scale = (low | (((high >> (2 * group)) & 3) << 4)) - 32;
      unpack_group(block->qs + 16 * group, d * static_cast<float>(scale), out + i + 32 * group);
    }
  }
}

void quantise_iq4_xs(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockIQ4_XS>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const ScaleBlock fit =
        fit_scale_block(values + i, importance ? importance + i : nullptr, IQ4Levels{}, 32, 32);
    *block = {};
    block->d = fit.d;
    unsigned high = 0;
    for (int group = 0; group < 8; ++group) {
      const auto scale = static_cast<unsigned>(fit.scales[group] + 32);
      const unsigned low = block->scales_l[group / 2] | ((scale & 15) << (4 * (group % 2)));
      block->scales_l[group / 2] = static_cast<std::uint8_t>(low);
      high |= (scale >> 4) << (2 * group);
      pack_nibbles(fit.codes + 32 * group, block->qs + 16 * group);
    }
    block->scales_h[0] = static_cast<std::uint8_t>(high);
    block->scales_h[1] = static_cast<std::uint8_t>(high >> 8);
  }
}

}  // namespace maestrale
