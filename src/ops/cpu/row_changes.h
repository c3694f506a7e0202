// RowChanges: what adapters add to single rows of products, y += B (scale · A x), for experts and heads,
// whose rows stand in an order of their own. A row's sum depends on its own list alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "kernels/kernel_table.h"
#include "ops/ops.h"

namespace maestrale::ops {

// The change of a matrix by that adapter, or null.
const LowRankChange* change_by(const LowRankChanges& changes, int adapter);

class RowChanges {
 public:
  void clear();
  // The next row: x [weight.columns] must stand until compute_inner().
  void add_row(const Weight& weight, AdapterChoices wanted, const float* x);
  bool none() const { return products_.empty(); }
  // scale · A x of all rows.
  void compute_inner(const kernels::KernelTable& table, ThreadPool& pool);
  // out[i] += row first_panel · 16 + i of the change's product, over so many panels of the row's matrix.
  void apply(const kernels::KernelTable& table, std::int64_t row, std::int64_t first_panel,
             std::int64_t panels, float* out) const;

 private:
  struct Product {
    const LowRankChange* change = nullptr;
    const float* x = nullptr;
    float scale = 0;
    std::size_t inner = 0;  // where its inner values begin
  };
  std::vector<Product> products_;
  std::vector<std::size_t> starts_;  // first product of each row, and the end
  std::vector<float> inner_;
  std::size_t inner_size_ = 0;
};

}  // namespace maestrale::ops
