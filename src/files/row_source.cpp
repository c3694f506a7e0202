#include "files/row_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace maestrale::files {
namespace {

std::size_t bytes_of_row(const RowSource& source) {
  const FormatTraits& format = traits(source.dtype);
  return static_cast<std::size_t>(source.columns / format.block_elements * format.block_bytes);
}

void expand_row(DType dtype, const std::byte* row, float* out, std::int64_t columns) {
  traits(dtype).dequantise(row, out, columns);
}

float scale_of(const TensorView& scales, std::int64_t row, std::int64_t column) {
  const std::int64_t at = scales.elements() == 1 ? 0 : row * scales.columns() + column;
  float value = 0;
  const auto bytes = static_cast<std::size_t>(traits(scales.dtype).block_bytes);
  expand_row(scales.dtype, scales.data.data() + static_cast<std::size_t>(at) * bytes, &value, 1);
  return value;
}

}  // namespace

TensorView slice_of(const TensorView& stack, std::int64_t index, std::int64_t rows, std::int64_t columns) {
  const std::size_t bytes = stack.data.size() / static_cast<std::size_t>(stack.shape.front());
  const std::byte* first =
      stack.data.data() == nullptr ? nullptr : stack.data.data() + static_cast<std::size_t>(index) * bytes;
  return {.name = stack.name, .dtype = stack.dtype, .shape = {rows, columns}, .data = {first, bytes}};
}

RowReader copied_rows(const TensorView& stored, RowMap map) {
  return [stored, map](std::int64_t first, std::int64_t count, std::byte* out) {
    const std::size_t bytes = stored.row_bytes();
    for (std::int64_t i = 0; i < count; ++i, out += bytes) {
      std::memcpy(out, stored.row(map.first + (first + i) * map.step), bytes);
    }
  };
}

RowReader transposed_rows(const TensorView& stored, RowMap map) {
  const auto element = static_cast<std::size_t>(traits(stored.dtype).block_bytes);
  const std::int64_t inputs = stored.rows();
  const auto outputs = static_cast<std::size_t>(stored.columns());
  return [stored, element, inputs, outputs, map](std::int64_t first, std::int64_t count, std::byte* out) {
    for (std::int64_t input = 0; input < inputs; ++input) {
      const std::byte* from = stored.data.data() + static_cast<std::size_t>(input) * outputs * element;
      for (std::int64_t i = 0; i < count; ++i) {
        const auto output = static_cast<std::size_t>(map.first + (first + i) * map.step);
        std::memcpy(out + static_cast<std::size_t>(i * inputs + input) * element, from + output * element,
                    element);
      }
    }
  };
}

RowReader mxfp4_rows(const TensorView& codes, const TensorView& exponents, RowMap map) {
  return [codes, exponents, map](std::int64_t first, std::int64_t count, std::byte* out) {
    constexpr int kHalf = 16;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = map.first + (first + i) * map.step;
      const std::byte* from = codes.row(row);
      for (std::int64_t block = 0; block < exponents.columns(); ++block, from += kHalf) {
        *out++ = exponents.row(row)[block];
        const auto code = [from](int element) {
          return static_cast<unsigned>(from[element / 2]) >> (4 * (element % 2)) & 15u;
        };
        for (int j = 0; j < kHalf; ++j) *out++ = static_cast<std::byte>(code(j) | code(j + kHalf) << 4);
      }
    }
  };
}

RowSource scaled_rows(const TensorView& codes, const TensorView& scales) {
  RowReader read = [codes, scales](std::int64_t first, std::int64_t count, std::byte* out) {
    const std::int64_t columns = codes.columns();
    std::vector<float> row(static_cast<std::size_t>(columns));
    for (std::int64_t r = first; r < first + count; ++r) {
      expand_row(codes.dtype, codes.row(r), row.data(), columns);
      for (std::int64_t begin = 0; begin < columns; begin += kScaleBlock) {
        const float scale = scale_of(scales, r / kScaleBlock, begin / kScaleBlock);
        const std::int64_t end = std::min(columns, begin + kScaleBlock);
        for (std::int64_t c = begin; c < end; ++c) row[static_cast<std::size_t>(c)] *= scale;
      }
      std::memcpy(out, row.data(), row.size() * sizeof(float));
      out += row.size() * sizeof(float);
    }
  };
  return {.dtype = DType::kF32, .rows = codes.rows(), .columns = codes.columns(), .read = std::move(read)};
}

RowSource rows_between(RowSource source, std::int64_t first, std::int64_t count) {
  CHECK(first >= 0 && count >= 0 && first + count <= source.rows, "rows inside the matrix");
  source.rows = count;
  source.read = [first, inner = std::move(source.read)](std::int64_t row, std::int64_t n, std::byte* out) {
    inner(first + row, n, out);
  };
  return source;
}

RowSource transposed(RowSource source) {
  const bool plain = traits(source.dtype).block_elements == 1;
  const std::int64_t rows = source.rows, columns = source.columns;
  const DType dtype = plain ? source.dtype : DType::kF32;
  RowReader read = [inner = std::move(source), plain, dtype](std::int64_t first, std::int64_t count,
                                                             std::byte* out) {
    const std::size_t bytes = bytes_of_row(inner);
    std::vector<std::byte> stored(static_cast<std::size_t>(inner.rows) * bytes);
    inner.read(0, inner.rows, stored.data());
    TensorView view{.name = {}, .dtype = dtype, .shape = {inner.rows, inner.columns}, .data = stored};
    std::vector<float> values;
    if (!plain) {
      values.resize(static_cast<std::size_t>(inner.rows * inner.columns));
      expand_row(inner.dtype, stored.data(), values.data(), inner.rows * inner.columns);
      view.data = std::as_bytes(std::span<const float>(values));
    }
    transposed_rows(view)(first, count, out);
  };
  return {.dtype = dtype, .rows = columns, .columns = rows, .read = std::move(read)};
}

RowSource stacked(std::vector<RowSource> parts) {
  CHECK(!parts.empty(), "a stack has parts");
  RowSource whole{.dtype = parts.front().dtype, .rows = 0, .columns = parts.front().columns, .read = {}};
  const std::int64_t each = parts.front().rows;
  for (const RowSource& part : parts) {
    CHECK(part.dtype == whole.dtype && part.columns == whole.columns && part.rows == each,
          "parts of one shape and type");
    whole.rows += part.rows;
  }
  const std::size_t bytes = bytes_of_row(whole);
  whole.read = [parts = std::move(parts), each, bytes](std::int64_t first, std::int64_t count,
                                                       std::byte* out) {
    while (count > 0) {
      const std::int64_t inside = first % each, here = std::min(count, each - inside);
      parts[static_cast<std::size_t>(first / each)].read(inside, here, out);
      out += static_cast<std::size_t>(here) * bytes;
      first += here;
      count -= here;
    }
  };
  return whole;
}

}  // namespace maestrale::files
