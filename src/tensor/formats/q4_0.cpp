// Q4_0: 32 values, value = (code - 8) * d. Q4_1: value = code * d + m. Codes of 4 bits: element j in the low
// nibble of byte j, element j + 16 in the high one.
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/simple_fit.h"

namespace maestrale {

void dequantise_q4_0(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ4_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    const float d = block->d.value();
    for (int j = 0; j < 16; ++j) {
      out[i + j] = static_cast<float>((block->qs[j] & 15) - 8) * d;
      out[i + j + 16] = static_cast<float>((block->qs[j] >> 4) - 8) * d;
    }
  }
}

void quantise_q4_0(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ4_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    std::uint8_t codes[32];
    block->d = fit_signed_codes<8>(values + i, importance ? importance + i : nullptr, codes);
    pack_nibbles(codes, block->qs);
  }
}

void dequantise_q4_1(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ4_1>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    const float d = block->d.value(), m = block->m.value();
    for (int j = 0; j < 16; ++j) {
      out[i + j] = static_cast<float>(block->qs[j] & 15) * d + m;
      out[i + j + 16] = static_cast<float>(block->qs[j] >> 4) * d + m;
    }
  }
}

void quantise_q4_1(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ4_1>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    std::uint8_t codes[32];
    const StoredLine line = fit_line_codes<15>(values + i, importance ? importance + i : nullptr, codes);
    block->d = line.d;
    block->m = line.m;
    pack_nibbles(codes, block->qs);
  }
}

}  // namespace maestrale
