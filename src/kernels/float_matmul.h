// Products with floating-point weights in panels of 16 rows: one lane is one output row, and each output is
// one chain of fused multiply-adds over the columns in order. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/float_layout.h"
#include "kernels/matmul_output.h"

namespace maestrale::kernels {

// 16 weights of one column as floats.
template <class V, FloatKind kKind>
[[gnu::always_inline]] inline typename V::F32 load_weights(const std::byte* column) {
  if constexpr (kKind == FloatKind::kF32) {
    return V::load(reinterpret_cast<const float*>(column));
  } else if constexpr (kKind == FloatKind::kF16) {
    return V::load_f16(column);
  } else if constexpr (kKind == FloatKind::kBF16) {
    return V::load_bf16(column);
  } else {
    // e4m3: exponent and mantissa moved to their place in f32 are the value times 2^-120, subnormals
    // included.
    const auto code = V::load_u8x16(column);
    const auto magnitude = V::template shift_left<20>(V::iand(code, V::ibroadcast(0x7f)));
    const auto value = V::mul(V::as_f32(magnitude), V::broadcast(0x1.0p120f));
    const auto sign = V::template shift_left<24>(V::iand(code, V::ibroadcast(0x80)));
    return V::as_f32(V::iadd(V::as_i32(value), sign));
  }
}

template <FloatKind kKind>
constexpr std::size_t kColumnBytes = 16 * (kKind == FloatKind::kF32   ? 4
                                           : kKind == FloatKind::kFp8 ? 1
                                                                      : 2);

struct FloatProduct {
  const std::byte* panels;  // of the first panel
  std::size_t panel_bytes;
  std::int64_t columns;
  std::int64_t block_columns;  // FP8
  const float* x;              // [rows][columns]
  MatmulOutput to;
};

// kRows activation rows × kPanels panels at once.
template <class V, FloatKind kKind, int kRows, int kPanels>
void float_tile(const FloatProduct& product, std::int64_t panel, std::int64_t row) {
  typename V::F32 sums[kRows][kPanels];
  const float* x[kRows];
  const std::byte* weights[kPanels];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    x[r] = product.x + (row + r) * product.columns;
#pragma GCC unroll 16
    for (int p = 0; p < kPanels; ++p) sums[r][p] = V::zero();
  }
#pragma GCC unroll 16
  for (int p = 0; p < kPanels; ++p) {
    weights[p] = product.panels + static_cast<std::size_t>(panel + p) * product.panel_bytes;
  }
  const std::size_t scales_at = (static_cast<std::size_t>(product.columns) * 16 + 63) / 64 * 64;
  const std::int64_t block = kKind == FloatKind::kFp8 ? product.block_columns : product.columns;
  for (std::int64_t begin = 0, index = 0; begin < product.columns; begin += block, ++index) {
    const std::int64_t end = begin + block < product.columns ? begin + block : product.columns;
    typename V::F32 scales[kPanels];
#pragma GCC unroll 16
    for (int p = 0; p < kPanels; ++p) {
      scales[p] = V::zero();
      if constexpr (kKind == FloatKind::kFp8) {
        scales[p] = V::load(reinterpret_cast<const float*>(weights[p] + scales_at) + index * 16);
      }
    }
    for (std::int64_t k = begin; k < end; ++k) {
      typename V::F32 w[kPanels];
#pragma GCC unroll 16
      for (int p = 0; p < kPanels; ++p) {
        w[p] = load_weights<V, kKind>(weights[p] + static_cast<std::size_t>(k) * kColumnBytes<kKind>);
        if constexpr (kKind == FloatKind::kFp8) w[p] = V::mul(w[p], scales[p]);
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const auto value = V::broadcast(x[r][k]);
#pragma GCC unroll 16
        for (int p = 0; p < kPanels; ++p) sums[r][p] = V::fma(w[p], value, sums[r][p]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int p = 0; p < kPanels; ++p) {
      store_product<V>(product.to, row + r, (panel + p) * kPanelRows, sums[r][p]);
    }
  }
}

template <class V, FloatKind kKind, int kPanels>
void float_panels(const FloatProduct& product, std::int64_t panel, std::int64_t rows) {
  std::int64_t row = 0;
  for (; row + V::kTileRows <= rows; row += V::kTileRows) {
    float_tile<V, kKind, V::kTileRows, kPanels>(product, panel, row);
  }
  for (; row + 4 <= rows; row += 4) float_tile<V, kKind, 4, kPanels>(product, panel, row);
  for (; row < rows; ++row) float_tile<V, kKind, 1, kPanels>(product, panel, row);
}

template <class V, FloatKind kKind>
void float_product(const FloatProduct& product, std::int64_t panel_count, std::int64_t rows) {
  std::int64_t panel = 0;
  if (rows < 4) {  // few rows: more panels in flight hide the latency of the chains
    for (; panel + 4 <= panel_count; panel += 4) {
      for (std::int64_t row = 0; row < rows; ++row) float_tile<V, kKind, 1, 4>(product, panel, row);
    }
  }
  for (; panel + 2 <= panel_count; panel += 2) float_panels<V, kKind, 2>(product, panel, rows);
  for (; panel < panel_count; ++panel) float_panels<V, kKind, 1>(product, panel, rows);
}

template <class V>
void matmul_float(const FloatLayout& layout, const std::byte* panels, std::int64_t panel_count,
                  std::int64_t columns, const float* x, std::int64_t rows, const MatmulOutput& to) {
  const FloatProduct product{.panels = panels,
                             .panel_bytes = float_panel_bytes(layout, columns),
                             .columns = columns,
                             .block_columns = layout.block_columns,
                             .x = x,
                             .to = to};
  switch (layout.kind) {
    case FloatKind::kF32:
      return float_product<V, FloatKind::kF32>(product, panel_count, rows);
    case FloatKind::kF16:
      return float_product<V, FloatKind::kF16>(product, panel_count, rows);
    case FloatKind::kBF16:
      return float_product<V, FloatKind::kBF16>(product, panel_count, rows);
    case FloatKind::kFp8:
      return float_product<V, FloatKind::kFp8>(product, panel_count, rows);
  }
}

}  // namespace maestrale::kernels
