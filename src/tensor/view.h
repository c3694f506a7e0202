// TensorView: a named array in somebody else's memory (a mapped file), row-major. A matrix is [rows = outputs,
// columns = inputs]; columns are contiguous and a multiple of the format's block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace maestrale {

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  // outermost first; [] is a scalar
  std::span<const std::byte> data;  // exactly storage_bytes(dtype, elements())

  std::int64_t elements() const {
    std::int64_t n = 1;
    for (const std::int64_t size : shape) n *= size;
    return n;
  }
  std::int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const { return columns() == 0 ? 0 : elements() / columns(); }
  std::size_t row_bytes() const { return rows() == 0 ? 0 : data.size() / static_cast<std::size_t>(rows()); }
  const std::byte* row(std::int64_t index) const { return data.data() + static_cast<std::size_t>(index) * row_bytes(); }
};

// "[32000, 4096]"
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace maestrale
