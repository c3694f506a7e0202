// RowSource: a matrix that is put together from tensors of a file while its rows are read. Experts and the
// two parts of latent attention stand differently in each dialect; this is how one form is read as another
// without holding it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tensor/view.h"

namespace maestrale::files {

// Writes rows [first, first + count) one after another.
using RowReader = std::function<void(std::int64_t first, std::int64_t count, std::byte* out)>;

// Row r of a part is row first + r · step of the tensor that holds it together with others.
struct RowMap {
  std::int64_t first = 0, step = 1;
};

// Matrix `index` of a stack [n, rows, columns].
TensorView slice_of(const TensorView& stack, std::int64_t index, std::int64_t rows, std::int64_t columns);

// Rows as they stand.
RowReader copied_rows(const TensorView& stored, RowMap map = {});
// Columns of `stored` [inputs, outputs] (plain numbers) as rows.
RowReader transposed_rows(const TensorView& stored, RowMap map = {});
// MXFP4 as gpt-oss publishes it: codes [outputs, inputs / 2] whose byte b holds element 2b in its low half,
// exponents [outputs, inputs / 32]. The rows are blocks as GGUF has them.
RowReader mxfp4_rows(const TensorView& codes, const TensorView& exponents, RowMap map = {});

struct RowSource {
  DType dtype = DType::kF32;  // of the rows that `read` gives
  std::int64_t rows = 0, columns = 0;
  RowReader read;
};

constexpr std::int64_t kScaleBlock = 128;
// FP8 codes [rows, columns] times their scales: one number, or one per block of kScaleBlock × kScaleBlock.
// The rows are f32.
RowSource scaled_rows(const TensorView& codes, const TensorView& scales);
// Rows [first, first + count) of a matrix.
RowSource rows_between(RowSource source, std::int64_t first, std::int64_t count);
// Columns as rows. A whole matrix is read for every call: for small ones. Blocks become f32.
RowSource transposed(RowSource source);
// Matrices of the same columns and type, one below the other.
RowSource stacked(std::vector<RowSource> parts);

}  // namespace maestrale::files
