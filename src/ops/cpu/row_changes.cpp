#include "ops/cpu/row_changes.h"

#include <algorithm>

#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {
namespace {

using kernels::kPanelRows;

const CpuOps::Layout& layout_of(const Weight& side) {
  return *static_cast<const CpuOps::Layout*>(side.layout);  // of plain numbers (nn/low_rank.h)
}

}  // namespace

const LowRankChange* change_by(const LowRankChanges& changes, int adapter) {
  const auto found =
      std::find_if(changes.of.begin(), changes.of.end(),
                   [adapter](const LowRankChange& change) { return change.adapter == adapter; });
  return found == changes.of.end() ? nullptr : &*found;
}

void RowChanges::clear() {
  products_.clear();
  starts_.assign(1, 0);
  inner_size_ = 0;
}

void RowChanges::add_row(const Weight& weight, AdapterChoices wanted, const float* x) {
  if (weight.changes != nullptr) {
    for (const AdapterChoice& choice : wanted) {
      const LowRankChange* change = change_by(*weight.changes, choice.adapter);
      if (change == nullptr) continue;
      products_.push_back({change, x, change->scale * choice.scale, inner_size_});
      inner_size_ += static_cast<std::size_t>(change->a.rows);
    }
  }
  starts_.push_back(products_.size());
}

void RowChanges::compute_inner(const kernels::KernelTable& table, ThreadPool& pool) {
  if (none()) return;
  inner_.resize(std::max(inner_.size(), inner_size_));
  pool.run(static_cast<std::int64_t>(products_.size()), [&](std::int64_t index, int) {
    const Product& product = products_[static_cast<std::size_t>(index)];
    const Weight& a = product.change->a;
    float* inner = inner_.data() + product.inner;
    table.matmul_float(layout_of(a).floats, a.data, (a.rows + kPanelRows - 1) / kPanelRows, a.columns,
                       product.x, 1, {.out = inner, .stride = a.rows, .row_limit = a.rows});
    for (std::int64_t i = 0; i < a.rows; ++i) inner[i] *= product.scale;
  });
}

void RowChanges::apply(const kernels::KernelTable& table, std::int64_t row, std::int64_t first_panel,
                       std::int64_t panels, float* out) const {
  if (none()) return;
  const auto index = static_cast<std::size_t>(row);
  for (std::size_t i = starts_[index]; i < starts_[index + 1]; ++i) {
    const Weight& b = products_[i].change->b;
    const CpuOps::Layout& layout = layout_of(b);
    const std::int64_t count = std::min(panels * kPanelRows, b.rows - first_panel * kPanelRows);
    table.matmul_float(layout.floats, b.data + static_cast<std::size_t>(first_panel) * layout.panel_bytes,
                       panels, b.columns, inner_.data() + products_[i].inner, 1,
                       {.out = out, .stride = b.rows, .row_limit = count, .residual = out});
  }
}

}  // namespace maestrale::ops
