// The plain floating point types: f32, f16, bf16, f64, f8_e4m3. One value per block.
#include <cstring>

#include "base/check.h"
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/fp8.h"

namespace maestrale {
namespace {

// f16_to_f32 with masks instead of branches, so that the loop over a row becomes vector code. Subnormals get
// the exponent of 2^-14, which is then subtracted; that of infinity and NaN is raised to the top.
inline float widen_f16(std::uint32_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t magnitude = half & 0x7fffu;
  const auto subnormal = static_cast<std::uint32_t>(static_cast<std::int32_t>(magnitude - 0x400u) >> 31);
  const auto not_finite = static_cast<std::uint32_t>(static_cast<std::int32_t>(0x7bffu - magnitude) >> 31);
  const std::uint32_t bits =
      (magnitude << 13) + (112u << 23) + (subnormal & (1u << 23)) + (not_finite & (112u << 23));
  const float finite = std::bit_cast<float>(bits) - std::bit_cast<float>(subnormal & (113u << 23));
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(finite));
}

constexpr auto kF8Values = [] {
  struct Table {
    float values[256];
  } table{};
  for (unsigned code = 0; code < 256; ++code) {
    table.values[code] = f8_e4m3_to_f32(static_cast<std::uint8_t>(code));
  }
  return table;
}();

}  // namespace

void dequantise_f32(const std::byte* blocks, float* out, std::int64_t n) {
  if (n > 0) std::memcpy(out, blocks, static_cast<std::size_t>(n) * sizeof(float));
}

void quantise_f32(const float* values, const float*, std::byte* blocks, std::int64_t n) {
  if (n > 0) std::memcpy(blocks, values, static_cast<std::size_t>(n) * sizeof(float));
}

void dequantise_f16(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  constexpr std::int64_t kStep = 16;
  std::int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    std::uint16_t halves[kStep];
    std::memcpy(halves, blocks + 2 * i, sizeof halves);
    for (std::int64_t j = 0; j < kStep; ++j) out[i + j] = widen_f16(halves[j]);
  }
  for (; i < n; ++i) out[i] = as_blocks<BlockF16>(blocks)[i].value();
}

void quantise_f16(const float* values, const float*, std::byte* blocks, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint16_t half = f32_to_f16(values[i]);
    std::memcpy(blocks + 2 * i, &half, sizeof half);
  }
}

void dequantise_bf16(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  constexpr std::int64_t kStep = 16;
  std::int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    std::uint16_t halves[kStep];
    std::memcpy(halves, blocks + 2 * i, sizeof halves);
    for (std::int64_t j = 0; j < kStep; ++j) out[i + j] = bf16_to_f32(halves[j]);
  }
  for (; i < n; ++i) out[i] = bf16_to_f32(load_u16(reinterpret_cast<const std::uint8_t*>(blocks) + 2 * i));
}

void quantise_bf16(const float* values, const float*, std::byte* blocks, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint16_t half = f32_to_bf16(values[i]);
    std::memcpy(blocks + 2 * i, &half, sizeof half);
  }
}

void dequantise_f64(const std::byte* blocks, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    double value;
    std::memcpy(&value, blocks + 8 * i, sizeof value);
    out[i] = static_cast<float>(value);
  }
}

void quantise_f64(const float* values, const float*, std::byte* blocks, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const double value = values[i];
    std::memcpy(blocks + 8 * i, &value, sizeof value);
  }
}

void dequantise_f8_e4m3(const std::byte* blocks, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = kF8Values.values[static_cast<std::uint8_t>(blocks[i])];
}

void quantise_f8_e4m3(const float* values, const float*, std::byte* blocks, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) blocks[i] = static_cast<std::byte>(f32_to_f8_e4m3(values[i]));
}

void dequantise_fp8_blocks(const std::byte* codes, std::int64_t rows, std::int64_t columns,
                           const float* scale_inv, std::int64_t block_rows, std::int64_t block_columns,
                           float* out) {
  CHECK(rows >= 0 && columns >= 0 && block_rows > 0 && block_columns > 0, "the caller checks the shapes");
  const std::int64_t scale_columns = columns / block_columns + (columns % block_columns != 0);
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* row_scales = scale_inv + (row / block_rows) * scale_columns;
    for (std::int64_t column = 0; column < columns; ++column) {
      const std::int64_t at = row * columns + column;
      out[at] = kF8Values.values[static_cast<std::uint8_t>(codes[at])] * row_scales[column / block_columns];
    }
  }
}

}  // namespace maestrale
