// MXFP4 (OCP Microscaling Formats v1.0): 32 values, value = e2m1(code) * 2^(e - 127); nibbles as in Q4_0.
// NVFP4: 4 groups of 16 values, value = e2m1(code) * ue4m3(scale of the group); byte j of a group holds
// elements j (low nibble) and j + 8.
#include <bit>

#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/fp8.h"
#include "tensor/formats/simple_fit.h"

namespace maestrale {
namespace {

// Twice the values of e2m1; code 8, minus zero, reads as plus zero.
constexpr float kTwiceE2M1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(e - 128), half of what the exponent byte says; exact down to the subnormals of e < 2.
constexpr float half_of_e8m0(unsigned e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

// Half of an unsigned e4m3 scale; its NaN code reads as 0.
constexpr float half_of_ue4m3(std::uint8_t code) {
  return (code & 0x7f) == 0x7f ? 0.0f : 0.5f * f8_e4m3_to_f32(code & 0x7f);
}

// Nearest code for x given in half units; halves go to the smaller magnitude, minus zero is not used.
inline std::uint8_t nearest_code(float x) {
  const float magnitude = std::fabs(x);
  const int code = (magnitude > 0.5f) + (magnitude > 1.5f) + (magnitude > 2.5f) + (magnitude > 3.5f) +
                   (magnitude > 5.0f) + (magnitude > 7.0f) + (magnitude > 10.0f);
  return static_cast<std::uint8_t>(code + (x < 0 && code != 0 ? 8 : 0));
}

// Scaling by the inverse is exact: half_of_e8m0 is a power of two (e >= 2 where it is not subnormal).
void encode(const float* x, unsigned e, std::uint8_t* codes) {
  const float unit = half_of_e8m0(e);
  for (int j = 0; j < 32; ++j) codes[j] = nearest_code(x[j] / unit);
}

float weighted_error(const float* x, const float* weights, const std::uint8_t* codes, unsigned e) {
  float error = 0;
  for (int j = 0; j < 32; ++j) {
    const float difference = x[j] - kTwiceE2M1[codes[j]] * half_of_e8m0(e);
    error += weights[j] * difference * difference;
  }
  return error;
}

// floor(log2(largest)) - 2: the largest value lies in the top binade of e2m1.
unsigned exponent_for(float largest) {
  const int biased = static_cast<int>(std::bit_cast<std::uint32_t>(largest) >> 23);
  return static_cast<unsigned>(std::clamp(biased - 2, 0, 252));
}

// Of the usual exponent and its neighbours the one with the least weighted error.
unsigned best_exponent(const float* values, const float* importance, unsigned usual) {
  float x[32], weights[32];
  load_values(values, 32, x);
  load_weights(importance, 32, weights);
  unsigned best = usual;
  float best_error = std::numeric_limits<float>::infinity();
  for (const unsigned e : {usual, usual > 0 ? usual - 1 : usual, std::min(usual + 1, 252u)}) {
    std::uint8_t codes[32];
    encode(x, e, codes);
    const float error = weighted_error(x, weights, codes, e);
    if (error < best_error) {
      best_error = error;
      best = e;
    }
  }
  return best;
}

}  // namespace

void dequantise_mxfp4(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockMXFP4>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    const float unit = half_of_e8m0(block->e);
    for (int j = 0; j < 16; ++j) {
      out[i + j] = kTwiceE2M1[block->qs[j] & 15] * unit;
      out[i + j + 16] = kTwiceE2M1[block->qs[j] >> 4] * unit;
    }
  }
}

void quantise_mxfp4(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockMXFP4>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    float largest = 0;
    for (int j = 0; j < 32; ++j) largest = std::max(largest, std::fabs(values[i + j]));
    unsigned e = exponent_for(largest);
    if (importance != nullptr) e = best_exponent(values + i, importance + i, e);
    std::uint8_t codes[32];
    encode(values + i, e, codes);
    block->e = static_cast<std::uint8_t>(e);
    pack_nibbles(codes, block->qs);
  }
}

void dequantise_nvfp4(const std::byte* blocks, float* out, std::int64_t n) {
  const auto* block = as_blocks<BlockNVFP4>(blocks);
  for (std::int64_t i = 0; i < n; i += 64, ++block) {
    for (int group = 0; group < 4; ++group) {
      const float unit = half_of_ue4m3(block->scales[group]);
      for (int j = 0; j < 8; ++j) {
        const int byte = block->qs[8 * group + j];
        out[i + 16 * group + j] = kTwiceE2M1[byte & 15] * unit;
        out[i + 16 * group + j + 8] = kTwiceE2M1[byte >> 4] * unit;
      }
    }
  }
}

}  // namespace maestrale
