// Formats of one scale and very few levels. TQ1_0, TQ2_0: 256 values d * {-1, 0, 1}. Q2_0: 64 values
// d * {-1, 0, 1, 2}. Q1_0: 128 values d * {-1, 1}.
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/simple_fit.h"

namespace maestrale {
namespace {

float largest_magnitude(const float* x, int n) {
  float largest = 0;
  for (int j = 0; j < n; ++j) largest = std::max(largest, std::fabs(x[j]));
  return largest;
}

// Codes 0..levels.high + 1 of n <= 256 values. Without importance d is the largest magnitude, which keeps
// models that were trained with such levels exact; with it d comes from a search.
BlockF16 fit_codes(const float* values, const float* importance, int n, const UniformLevels& levels,
                   std::uint8_t* codes) {
  BlockF16 stored;
  float d = within_f16(largest_magnitude(values, n));
  if (importance != nullptr) {
    float x[256], weights[256];
    load_values(values, n, x);
    load_weights(importance, n, weights);
    d = within_f16(fit_scale(x, weights, n, levels));
  }
  stored.store(d);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (int j = 0; j < n; ++j) {
    const float scaled = values[j] * inverse;
    codes[j] = static_cast<std::uint8_t>(
        scaled >= 1.5f && levels.high > 1 ? 3 : 1 + (scaled >= 0.5f) - (scaled <= -0.5f));
  }
  return stored;
}

// TQ1_0: byte b holds 5 trits as the fraction b / 256 in base 3; trit k is the digit after k shifts.
inline float trit(unsigned byte, unsigned power_of_three) {
  const unsigned shifted = (byte * power_of_three) & 255;
  return static_cast<float>(static_cast<int>((shifted * 3) >> 8) - 1);
}

constexpr unsigned kPowersOfThree[5] = {1, 3, 9, 27, 81};

// How the 256 elements lie in the 52 bytes: runs of `bytes` bytes, each run holding `trits` x `bytes`
// elements.
struct TritRun {
  int first_byte, bytes, trits, first_element;
};
constexpr TritRun kTritRuns[3] = {{0, 32, 5, 0}, {32, 16, 5, 160}, {48, 4, 4, 240}};

}  // namespace

void dequantise_tq1_0(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  static_assert(offsetof(BlockTQ1_0, qh) == 48, "the runs of bytes go on from qs to qh");
  const auto* block = as_blocks<BlockTQ1_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (const TritRun& run : kTritRuns) {
      const std::uint8_t* bytes = run.first_byte < 48 ? block->qs + run.first_byte : block->qh;
      for (int k = 0; k < run.trits; ++k) {
        float* to = out + i + run.first_element + k * run.bytes;
        for (int m = 0; m < run.bytes; ++m) to[m] = trit(bytes[m], kPowersOfThree[k]) * d;
      }
    }
  }
}

void quantise_tq1_0(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockTQ1_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    std::uint8_t codes[256];
    block->d = fit_codes(values + i, importance ? importance + i : nullptr, 256, {-1, 1}, codes);
    for (const TritRun& run : kTritRuns) {
      std::uint8_t* bytes = run.first_byte < 48 ? block->qs + run.first_byte : block->qh;
      for (int m = 0; m < run.bytes; ++m) {
        unsigned number = 0;
        for (int k = 0; k < 5; ++k) {
          number = 3 * number + (k < run.trits ? codes[run.first_element + k * run.bytes + m] : 0u);
        }
        bytes[m] = static_cast<std::uint8_t>((number * 256 + 242) / 243);
      }
    }
  }
}

void dequantise_tq2_0(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockTQ2_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    const float d = block->d.value();
    for (int j = 0; j < 256; ++j) {
      const int code = (block->qs[32 * (j / 128) + j % 32] >> (2 * (j / 32 % 4))) & 3;
      out[i + j] = static_cast<float>(code - 1) * d;
    }
  }
}

void quantise_tq2_0(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockTQ2_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 256, ++block) {
    std::uint8_t codes[256];
    block->d = fit_codes(values + i, importance ? importance + i : nullptr, 256, {-1, 1}, codes);
    for (int byte = 0; byte < 64; ++byte) {
      const std::uint8_t* code = codes + 128 * (byte / 32) + byte % 32;
      block->qs[byte] =
          static_cast<std::uint8_t>(code[0] | (code[32] << 2) | (code[64] << 4) | (code[96] << 6));
    }
  }
}

void dequantise_q2_0(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ2_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 64, ++block) {
    const float d = block->d.value();
    for (int j = 0; j < 64; ++j) {
      out[i + j] = static_cast<float>(((block->qs[j / 4] >> (2 * (j % 4))) & 3) - 1) * d;
    }
  }
}

void quantise_q2_0(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ2_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 64, ++block) {
    std::uint8_t codes[64];
    block->d = fit_codes(values + i, importance ? importance + i : nullptr, 64, {-1, 2}, codes);
    for (int byte = 0; byte < 16; ++byte) {
      const std::uint8_t* code = codes + 4 * byte;
      block->qs[byte] = static_cast<std::uint8_t>(code[0] | (code[1] << 2) | (code[2] << 4) | (code[3] << 6));
    }
  }
}

void dequantise_q1_0(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ1_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 128, ++block) {
    const float d = block->d.value();
    for (int j = 0; j < 128; ++j) {
      const int bit = (block->qs[j / 8] >> (j % 8)) & 1;
      out[i + j] = static_cast<float>(2 * bit - 1) * d;
    }
  }
}

void quantise_q1_0(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ1_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 128, ++block) {
    float weights[128];
    load_weights(importance ? importance + i : nullptr, 128, weights);
    float sum = 0, sum_weights = 0;
    unsigned bytes[16] = {};
    for (int j = 0; j < 128; ++j) {
      sum += weights[j] * std::fabs(values[i + j]);
      sum_weights += weights[j];
      bytes[j / 8] |= (values[i + j] >= 0 ? 1u : 0u) << (j % 8);
    }
    block->d.store(sum / sum_weights);
    for (int byte = 0; byte < 16; ++byte) block->qs[byte] = static_cast<std::uint8_t>(bytes[byte]);
  }
}

}  // namespace maestrale
