// Products with one small matrix for each head, as latent attention has them.
#include <algorithm>

#include "base/check.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {

// A worker takes one head and a piece of the rows: their inputs are gathered (and quantised) in its own
// scratch.
void CpuOps::linear_heads(std::int64_t rows, const HeadProducts& products) {
  const Weight& shape = products.weights.front();
  const auto& layout = *static_cast<const Layout*>(shape.layout);
  const std::int64_t columns = shape.columns;
  const std::int64_t panels = (shape.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
  const bool quantised = layout.panels != nullptr;
  const std::size_t row_bytes =
      quantised ? kernels::activation_bytes(columns) : static_cast<std::size_t>(columns) * sizeof(float);
  const auto piece = static_cast<std::int64_t>(kGatherBytes / row_bytes);
  CHECK(piece > 0, "heads are narrow");
  const std::int64_t pieces = (rows + piece - 1) / piece;
  const auto heads = static_cast<std::int64_t>(products.weights.size());
  pool_.run(heads * pieces, [&](std::int64_t task, int worker) {
    const std::int64_t head = task / pieces;
    const std::int64_t first = task % pieces * piece;
    const std::int64_t count = std::min(piece, rows - first);
    const Weight& weight = products.weights[static_cast<std::size_t>(head)];
    std::byte* inputs = worker_scratch(worker);
    for (std::int64_t row = 0; row < count; ++row) {
      const float* x = products.x + (first + row) * products.x_row_stride + head * products.x_head_stride;
      std::byte* input = inputs + static_cast<std::size_t>(row) * row_bytes;
      if (quantised) {
        table_.quantise_row(x, columns, input);
      } else {
        std::copy_n(x, columns, reinterpret_cast<float*>(input));
      }
    }
    const kernels::MatmulOutput to{
        .out = products.out + first * products.out_row_stride + head * products.out_head_stride,
        .stride = products.out_row_stride,
        .row_limit = shape.rows};
    if (quantised) {
      table_.matmul(layout.panels, weight.data, {panels}, columns, inputs, count, to, inputs + kGatherBytes);
    } else {
      table_.matmul_float(layout.floats, weight.data, panels, columns, reinterpret_cast<const float*>(inputs),
                          count, to);
    }
  });
  if (!choices_.empty()) add_head_changes(rows, products);
}

void CpuOps::add_head_changes(std::int64_t rows, const HeadProducts& products) {
  const auto heads = static_cast<std::int64_t>(products.weights.size());
  gate_changes_.clear();
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* x = products.x + row * products.x_row_stride;
    for (std::int64_t head = 0; head < heads; ++head) {
      gate_changes_.add_row(products.weights[static_cast<std::size_t>(head)],
                            choices_[static_cast<std::size_t>(row)], x + head * products.x_head_stride);
    }
  }
  if (gate_changes_.none()) return;
  gate_changes_.compute_inner(table_, pool_);
  const std::int64_t width = products.weights.front().rows;
  const std::int64_t panels = (width + kernels::kPanelRows - 1) / kernels::kPanelRows;
  pool_.run(rows * heads, [&](std::int64_t index, int) {
    float* out =
        products.out + index / heads * products.out_row_stride + index % heads * products.out_head_stride;
    gate_changes_.apply(table_, index, 0, panels, out);
  });
}

}  // namespace maestrale::ops
