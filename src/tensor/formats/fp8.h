// 8-bit floats "e4m3fn" (arXiv:2209.05433): sign, 4 exponent bits with bias 7, 3 mantissa bits; no infinity,
// 0x7f and 0xff are NaN, the largest number is 448.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace maestrale {

constexpr float f8_e4m3_to_f32(std::uint8_t code) {
  const std::uint32_t sign = std::uint32_t{code & 0x80u} << 24;
  const std::uint32_t magnitude = code & 0x7fu;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (magnitude >= 8) return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
  const float subnormal = static_cast<float>(magnitude) * 0x1.0p-9f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(subnormal));
}

// Round to nearest even; beyond 448, infinity included, becomes 448.
constexpr std::uint8_t f32_to_f8_e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 24) & 0x80u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  // Below 2^-6 the float adder rounds to a multiple of 2^-9; both roundings are computed, neither is jumped
  // over.
  const float shifted = std::bit_cast<float>(magnitude < 0x3c800000u ? magnitude : 0u) + 0x1.0p14f;
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(shifted) - 0x46800000u;
  const std::uint32_t normal = (magnitude + 0x7ffffu + ((magnitude >> 20) & 1) - (120u << 23)) >> 20;
  std::uint32_t code = magnitude < 0x3c800000u ? subnormal : normal;
  code = magnitude >= 0x43e00000u ? 0x7eu : code;  // 448 and up
  code = magnitude > 0x7f800000u ? 0x7fu : code;   // NaN
  return static_cast<std::uint8_t>(sign | code);
}

// Weights of FP8 checkpoints: out[r, c] = code[r, c] * scale_inv[r / block_rows, c / block_columns]. codes
// and out are [rows, columns]; scale_inv is [ceil(rows / block_rows), ceil(columns / block_columns)].
void dequantise_fp8_blocks(const std::byte* codes, std::int64_t rows, std::int64_t columns,
                           const float* scale_inv, std::int64_t block_rows, std::int64_t block_columns,
                           float* out);

}  // namespace maestrale
