// Packing weights into panels, and the products with them.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/pieces.h"

namespace maestrale::ops {
namespace {

using kernels::FloatKind;
using kernels::kPanelRows;

std::int64_t panels_of(std::int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

bool is_codes(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kI8; }

// [columns][16] elements from 16 rows; missing rows are zero.
template <class Element>
void interleave(const std::byte* const rows[kPanelRows], std::int64_t columns, std::byte* out) {
  constexpr std::int64_t kBlock = 64;
  for (std::int64_t begin = 0; begin < columns; begin += kBlock) {
    const std::int64_t end = std::min(begin + kBlock, columns);
    for (int row = 0; row < kPanelRows; ++row) {
      for (std::int64_t column = begin; column < end; ++column) {
        Element value{};
        if (rows[row] != nullptr) {
          std::memcpy(&value, rows[row] + static_cast<std::size_t>(column) * sizeof(Element),
                      sizeof(Element));
        }
        std::memcpy(out + static_cast<std::size_t>(column * kPanelRows + row) * sizeof(Element), &value,
                    sizeof(Element));
      }
    }
  }
}

// llama2.c's groups run over the flattened matrix; FP8 blocks tile it.
float scale_at(const BlockScales& scales, std::int64_t row, std::int64_t column, std::int64_t columns) {
  if (scales.values.size() == 1) return scales.values[0];
  if (scales.block_rows == 1) {
    return scales.values[static_cast<std::size_t>((row * columns + column) / scales.block_columns)];
  }
  const std::int64_t per_row = (columns + scales.block_columns - 1) / scales.block_columns;
  return scales
      .values[static_cast<std::size_t>(row / scales.block_rows * per_row + column / scales.block_columns)];
}

// One row as floats, with the scales of bare codes applied.
void expand_row(const TensorView& matrix, const BlockScales& scales, std::int64_t row, float* out) {
  const std::int64_t columns = matrix.columns();
  const std::byte* codes = matrix.row(row);
  const bool fp8 = matrix.dtype == DType::kF8E4M3;
  if (matrix.dtype != DType::kI8) traits(matrix.dtype).dequantise(codes, out, columns);
  if (!is_codes(matrix.dtype)) return;
  for (std::int64_t column = 0; column < columns; ++column) {
    const float code = fp8 ? out[column] : static_cast<float>(static_cast<std::int8_t>(codes[column]));
    out[column] = code * scale_at(scales, row, column, columns);
  }
}

// Scales of one FP8 panel: [blocks][16].
void pack_scales(const BlockScales& scales, std::int64_t first_row, std::int64_t rows, std::int64_t columns,
                 float* out) {
  const std::int64_t block = scales.block_columns;
  for (std::int64_t begin = 0; begin < columns; begin += block) {
    for (std::int64_t lane = 0; lane < kPanelRows; ++lane) {
      const std::int64_t row = std::min(first_row + lane, rows - 1);
      *out++ = scale_at(scales, row, begin, columns);
    }
  }
}

}  // namespace

void CpuOps::pack_one(const Layout& layout, const TensorView& matrix, const BlockScales& scales,
                      std::int64_t panel, std::byte* out) {
  const std::int64_t columns = matrix.columns();
  const std::int64_t first = panel * kPanelRows;
  const std::int64_t count = std::min<std::int64_t>(kPanelRows, matrix.rows() - first);
  const std::byte* rows[kPanelRows] = {};
  for (std::int64_t lane = 0; lane < count; ++lane) rows[lane] = matrix.row(first + lane);
  if (layout.panels != nullptr) {
    kernels::pack_panel(*layout.panels, rows, columns, out);
  } else if (layout.floats.kind == FloatKind::kF32 && matrix.dtype != DType::kF32) {
    std::vector<float> expanded(static_cast<std::size_t>(count * columns));
    for (std::int64_t lane = 0; lane < count; ++lane) {
      expand_row(matrix, scales, first + lane, expanded.data() + lane * columns);
      rows[lane] = reinterpret_cast<const std::byte*>(expanded.data() + lane * columns);
    }
    interleave<std::uint32_t>(rows, columns, out);
  } else if (layout.floats.kind == FloatKind::kF32) {
    interleave<std::uint32_t>(rows, columns, out);
  } else if (layout.floats.kind == FloatKind::kFp8) {
    interleave<std::uint8_t>(rows, columns, out);
    const std::size_t codes = (static_cast<std::size_t>(columns * kPanelRows) + 63) / 64 * 64;
    pack_scales(scales, first, matrix.rows(), columns, reinterpret_cast<float*>(out + codes));
  } else {
    interleave<std::uint16_t>(rows, columns, out);
  }
}

void expand_scaled(const TensorView& matrix, const BlockScales& scales, float* out) {
  expand_scaled_rows(matrix, scales, 0, matrix.rows(), out);
}

void expand_scaled_rows(const TensorView& matrix, const BlockScales& scales, std::int64_t row,
                        std::int64_t rows, float* out) {
  CHECK(is_codes(matrix.dtype), "only bare codes have scales beside them");
  for (std::int64_t i = 0; i < rows; ++i) expand_row(matrix, scales, row + i, out + i * matrix.columns());
}

Result<CpuOps::Layout> CpuOps::layout_for(DType dtype, std::int64_t columns,
                                          std::int64_t block_columns) const {
  Layout layout;
  const bool quantised = kernels::panel_layout(dtype) != nullptr;
  if (quantised && arithmetic_ == Arithmetic::kQuantised) {
    layout.panels = kernels::panel_layout(dtype);
    layout.panel_bytes = kernels::panel_bytes(*layout.panels, columns);
    return layout;
  }
  if (quantised || dtype == DType::kF32 || dtype == DType::kI8) {
    layout.floats = {FloatKind::kF32, 0};  // llama2.c's int8 models are small: they run as f32, exactly
  } else if (dtype == DType::kF16) {
    layout.floats = {FloatKind::kF16, 0};
  } else if (dtype == DType::kBF16) {
    layout.floats = {FloatKind::kBF16, 0};
  } else if (dtype == DType::kF8E4M3) {
    layout.floats = {FloatKind::kFp8, block_columns};
  } else {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "matrices of type " + std::string(traits(dtype).name) + " cannot be multiplied",
                 .hint = "convert the model to another type"};
  }
  layout.panel_bytes = kernels::float_panel_bytes(layout.floats, columns);
  return layout;
}

Result<std::size_t> CpuOps::packed_bytes(DType dtype, std::int64_t rows, std::int64_t columns) const {
  constexpr std::int64_t kSmallestScaleBlock = 128;
  const Layout layout = TRY(layout_for(dtype, columns, kSmallestScaleBlock));
  std::size_t bytes = 0;
  if (!__builtin_mul_overflow(layout.panel_bytes, static_cast<std::size_t>(panels_of(rows)), &bytes))
    return bytes;
  return Error{.kind = ErrorKind::kResource, .what = "a matrix would need more bytes than can be counted"};
}

Status CpuOps::reserve_weights(std::size_t bytes) {
  weights_ = TRY(HugeBuffer::allocate(bytes));
  weights_used_ = 0;
  return {};
}

std::span<const std::byte> CpuOps::room() const {
  return mapped_.empty() ? std::span<const std::byte>(weights_.data(), weights_.size()) : mapped_;
}

Weight CpuOps::carve(const Layout& layout, std::int64_t rows, std::int64_t columns) {
  Weight weight{.rows = rows, .columns = columns, .layout = &layout};
  weight.bytes = layout.panel_bytes * static_cast<std::size_t>(panels_of(rows));
  CHECK(weights_used_ + weight.bytes <= room().size(), "weights are planned before they are packed");
  weight.data = room().data() + weights_used_;
  weights_used_ += weight.bytes;
  const std::uint64_t facts[] = {packed_order_, static_cast<std::uint64_t>(rows),
                                 static_cast<std::uint64_t>(columns), weight.bytes};
  packed_order_ = XXH3_64bits(facts, sizeof(facts));
  return weight;
}

Result<Weight> CpuOps::pack(const TensorView& matrix, const BlockScales& scales) {
  const std::int64_t rows = matrix.rows();
  const std::int64_t columns = matrix.columns();
  layouts_.push_back(TRY(layout_for(matrix.dtype, columns, scales.block_columns)));
  const Layout& layout = layouts_.back();
  const Weight weight = carve(layout, rows, columns);
  if (!mapped_.empty()) return weight;
  std::byte* base = writable(weight);
  pool_.run(panels_of(rows), [&](std::int64_t panel, int) {
    pack_one(layout, matrix, scales, panel, base + static_cast<std::size_t>(panel) * layout.panel_bytes);
  });
  return weight;
}

void CpuOps::quantise(const float* x, std::int64_t rows, std::int64_t columns) {
  const std::size_t stride = kernels::activation_bytes(columns);
  for_rows(rows, [&](std::int64_t row) {
    table_.quantise_row(x + row * columns, columns, scratch_.data() + static_cast<std::size_t>(row) * stride);
  });
}

// One piece of a product.
void CpuOps::multiply(const float* x, std::int64_t rows, const Projection& projection,
                      const PanelPiece& piece, int worker) {
  const Weight& weight = *projection.weight;
  const auto& layout = *static_cast<const Layout*>(weight.layout);
  const std::byte* panels = weight.data + static_cast<std::size_t>(piece.first) * layout.panel_bytes;
  const std::int64_t first = piece.first * kPanelRows;
  const kernels::MatmulOutput to{
      .out = projection.out + first,
      .stride = projection.out_stride,
      .row_limit = weight.rows - first,
      .bias = projection.bias == nullptr ? nullptr : projection.bias + first,
      .residual = projection.residual == nullptr ? nullptr : projection.residual + first};
  if (layout.panels != nullptr) {
    table_.matmul(layout.panels, panels, piece.range, weight.columns, scratch_.data(), rows, to,
                  worker_scratch(worker));
  } else {
    table_.matmul_float(layout.floats, panels, piece.range.count, weight.columns, x, rows, to);
  }
}

// All products with one input, which stands quantised in the scratch where a weight needs it.
void CpuOps::multiply_all(const float* x, std::int64_t rows, std::span<const Projection> projections) {
  CHECK(projections.size() <= PanelPieces::kMaxMatrices && rows >= 1, "few products share an input");
  PanelMatrix matrices[PanelPieces::kMaxMatrices];
  for (std::size_t i = 0; i < projections.size(); ++i) {
    const Weight& weight = *projections[i].weight;
    const auto& layout = *static_cast<const Layout*>(weight.layout);
    matrices[i].panels = panels_of(weight.rows);
    if (layout.panels != nullptr) matrices[i].streams = table_.matmul_streams(layout.panels, rows);
  }
  const PanelPieces pieces({matrices, projections.size()}, pool_.size());
  pool_.run(pieces.count(), [&](std::int64_t index, int worker) {
    const PanelPiece piece = pieces.at(index);
    if (piece.range.count > 0) multiply(x, rows, projections[piece.matrix], piece, worker);
  });
}

void CpuOps::linear(const float* x, std::int64_t rows, std::int64_t columns,
                    std::span<const Projection> projections) {
  const bool quantised =
      std::any_of(projections.begin(), projections.end(), [](const Projection& projection) {
        return static_cast<const Layout*>(projection.weight->layout)->panels != nullptr;
      });
  if (quantised) quantise(x, rows, columns);
  multiply_all(x, rows, projections);
  if (choices_.empty()) return;
  for (const Projection& projection : projections) {
    if (projection.weight->changes != nullptr) add_changes(x, rows, projection);
  }
}

}  // namespace maestrale::ops
