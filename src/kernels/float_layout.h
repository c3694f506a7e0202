// How floating-point weights stand once repacked: panels of 16 rows, [columns][16] elements, so that one lane
// is one output row. FP8 panels are followed by f32 scales [ceil(columns / block_columns)][16]. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace maestrale::kernels {

enum class FloatKind : std::uint8_t { kF32, kF16, kBF16, kFp8 };

struct FloatLayout {
  FloatKind kind{};
  std::int64_t block_columns = 0;  // FP8: columns that share a scale
};

inline std::size_t float_panel_bytes(const FloatLayout& layout, std::int64_t columns) {
  constexpr std::size_t kRows = 16;
  const auto n = static_cast<std::size_t>(columns);
  switch (layout.kind) {
    case FloatKind::kF32:
      return n * kRows * 4;
    case FloatKind::kF16:
    case FloatKind::kBF16:
      return (n * kRows * 2 + 63) / 64 * 64;
    case FloatKind::kFp8:
      break;
  }
  const auto blocks = static_cast<std::size_t>((columns + layout.block_columns - 1) / layout.block_columns);
  return (n * kRows + 63) / 64 * 64 + blocks * kRows * sizeof(float);
}

}  // namespace maestrale::kernels
