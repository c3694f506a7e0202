#include "nn/head_weights.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace maestrale::nn {
namespace {

// One head's matrix, made ready for packing.
struct HeadMatrix {
  TensorView view;
  std::vector<std::byte> storage;  // where the values had to be rearranged or expanded
  std::vector<float> scale_values;
  ops::BlockScales scales;
};

bool is_plain_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// Rows [row, row + rows) of a matrix, as they stand.
TensorView rows_of(const TensorView& matrix, std::int64_t row, std::int64_t rows) {
  const std::size_t bytes = matrix.row_bytes();
  return {.name = matrix.name,
          .dtype = matrix.dtype,
          .shape = {rows, matrix.columns()},
          .data = matrix.data.subspan(static_cast<std::size_t>(row) * bytes,
                                      static_cast<std::size_t>(rows) * bytes)};
}

// Do blocks of scales begin where every head's matrices do?
bool scales_begin_with_heads(const ops::BlockScales& scales, const HeadPairShape& shape) {
  return scales.values.size() <= 1 ||
         (shape.first % scales.block_rows == 0 && shape.second % scales.block_rows == 0);
}

bool keeps_type(const TensorView& tensor, bool aligned, bool transposed) {
  if (tensor.dtype == DType::kF8E4M3) return aligned;
  return is_plain_float(tensor.dtype) || !transposed;
}

void transpose(const std::byte* from, std::int64_t rows, std::int64_t columns, std::size_t element,
               std::byte* to) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      std::memcpy(to + static_cast<std::size_t>(column * rows + row) * element,
                  from + static_cast<std::size_t>(row * columns + column) * element, element);
    }
  }
}

// The scales of rows [row, row + rows) on a grid of their own, transposed where the matrix is.
void cut_scales(const ops::BlockScales& scales, std::int64_t row, std::int64_t rows, std::int64_t columns,
                bool transposed, HeadMatrix& head) {
  head.scales = {.values = {}, .block_rows = scales.block_rows, .block_columns = scales.block_columns};
  if (scales.values.size() <= 1) {
    head.scale_values.assign(scales.values.begin(), scales.values.end());
    if (transposed) head.scales = {.values = {}, .block_rows = columns, .block_columns = rows};
    return;
  }
  const std::int64_t per_row = (columns + scales.block_columns - 1) / scales.block_columns;
  const std::int64_t first = row / scales.block_rows;
  const std::int64_t count = (rows + scales.block_rows - 1) / scales.block_rows;
  head.scale_values.resize(static_cast<std::size_t>(count * per_row));
  for (std::int64_t r = 0; r < count; ++r) {
    for (std::int64_t c = 0; c < per_row; ++c) {
      const auto to = static_cast<std::size_t>(transposed ? c * count + r : r * per_row + c);
      head.scale_values[to] = scales.values[static_cast<std::size_t>((first + r) * per_row + c)];
    }
  }
  if (transposed) std::swap(head.scales.block_rows, head.scales.block_columns);
}

// Rows [row, row + rows) as f32, scales applied.
std::vector<float> expand(const TensorView& matrix, const ops::BlockScales& scales, std::int64_t row,
                          std::int64_t rows) {
  std::vector<float> values(static_cast<std::size_t>(rows * matrix.columns()));
  if (scales.values.empty()) {
    const TensorView part = rows_of(matrix, row, rows);
    traits(part.dtype).dequantise(part.data.data(), values.data(), part.elements());
    return values;
  }
  ops::expand_scaled_rows(matrix, scales, row, rows, values.data());
  return values;
}

HeadMatrix cut(const TensorView& matrix, const ops::BlockScales& scales, bool aligned, std::int64_t row,
               std::int64_t rows, bool transposed) {
  HeadMatrix head;
  head.view = rows_of(matrix, row, rows);
  const std::int64_t columns = matrix.columns();
  std::vector<float> values;
  if (keeps_type(matrix, aligned, transposed)) {
    cut_scales(scales, row, rows, columns, transposed, head);
  } else {
    values = expand(matrix, scales, row, rows);
    head.view.dtype = DType::kF32;
    head.view.data = std::as_bytes(std::span<const float>(values));
  }
  if (transposed || !values.empty()) {
    head.storage.resize(head.view.data.size());
    const std::size_t element = head.view.data.size() / static_cast<std::size_t>(rows * columns);
    if (transposed) {
      transpose(head.view.data.data(), rows, columns, element, head.storage.data());
      head.view.shape = {columns, rows};
    } else {
      std::memcpy(head.storage.data(), values.data(), head.storage.size());
    }
    head.view.data = head.storage;
  }
  return head;
}

Result<ops::Weight> pack(WeightLoader& loader, HeadMatrix head) {
  head.scales.values = head.scale_values;
  return loader.pack(head.view, head.scales);
}

}  // namespace

Result<std::vector<ops::Weight>> load_heads(WeightLoader& loader, std::string_view canonical,
                                            std::int64_t heads, std::int64_t rows, std::int64_t columns) {
  const WeightLoader::ScaledTensor source = TRY(loader.scaled(canonical, std::array{heads, rows, columns}));
  std::vector<ops::Weight> weights;
  for (std::int64_t head = 0; head < heads; ++head) {
    weights.push_back(TRY(loader.pack(rows_of(*source.tensor, head * rows, rows), source.scales())));
  }
  loader.done_with(*source.tensor);
  return weights;
}

Result<HeadPair> load_head_pair(WeightLoader& loader, std::string_view canonical,
                                const HeadPairShape& shape) {
  const std::int64_t rows = shape.first + shape.second;
  const WeightLoader::ScaledTensor source =
      TRY(loader.scaled(canonical, std::array{shape.heads * rows, shape.columns}));
  const ops::BlockScales scales = source.scales();
  const bool aligned = scales_begin_with_heads(scales, shape);
  HeadPair pair;
  for (std::int64_t head = 0; head < shape.heads; ++head) {
    const std::int64_t row = head * rows;
    pair.first.push_back(TRY(pack(loader, cut(*source.tensor, scales, aligned, row, shape.first, true))));
    pair.second.push_back(
        TRY(pack(loader, cut(*source.tensor, scales, aligned, row + shape.first, shape.second, false))));
  }
  loader.done_with(*source.tensor);
  return pair;
}

Result<std::size_t> heads_bytes(const TensorView& tensor, const ops::Ops& ops, std::int64_t heads,
                                std::int64_t rows, std::int64_t columns) {
  return TRY(ops.packed_bytes(tensor.dtype, rows, columns)) * static_cast<std::size_t>(heads);
}

Result<std::size_t> head_pair_bytes(const TensorView& tensor, const ops::Ops& ops,
                                    const HeadPairShape& shape) {
  const auto size = [&](std::int64_t rows, std::int64_t columns, bool transposed) -> Result<std::size_t> {
    // FP8 counts as f32, which it may become: whether it does stands in the scales.
    const bool keeps = keeps_type(tensor, false, transposed);
    return ops.packed_bytes(keeps ? tensor.dtype : DType::kF32, rows, columns);
  };
  const std::size_t one =
      TRY(size(shape.columns, shape.first, true)) + TRY(size(shape.second, shape.columns, false));
  return one * static_cast<std::size_t>(shape.heads);
}

}  // namespace maestrale::nn
