// What adapters add to the products of a matrix.
#include <algorithm>

#include "base/check.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/row_changes.h"

namespace maestrale::ops {
namespace {

bool same_list(AdapterChoices a, AdapterChoices b) { return a.data() == b.data() && a.size() == b.size(); }

}  // namespace

void CpuOps::add_change(Weight& weight, const LowRankChange& change) {
  CHECK(
      change.a.columns == weight.columns && change.b.rows == weight.rows && change.a.rows == change.b.columns,
      "the loader checks the shapes of changes");
  if (weight.changes == nullptr) weight.changes = &changes_.emplace_back();
  const_cast<LowRankChanges&>(*weight.changes).of.push_back(change);  // ours: it lies in changes_
}

// Runs of rows that share a list, one change after the other: a row's sum depends on its own list alone.
void CpuOps::add_changes(const float* x, std::int64_t rows, const Projection& projection) {
  const Weight& weight = *projection.weight;
  for (std::int64_t first = 0, end = 0; first < rows; first = end) {
    const AdapterChoices list = choices_[static_cast<std::size_t>(first)];
    for (end = first + 1; end < rows && same_list(list, choices_[static_cast<std::size_t>(end)]);) ++end;
    for (const AdapterChoice& choice : list) {
      const LowRankChange* change = change_by(*weight.changes, choice.adapter);
      if (change == nullptr) continue;
      const std::int64_t rank = change->a.rows;
      inner_.resize(std::max(inner_.size(), static_cast<std::size_t>((end - first) * rank)));
      const Projection down{&change->a, inner_.data(), rank, nullptr, nullptr};
      multiply_all(x + first * weight.columns, end - first, {&down, 1});
      const float scale = change->scale * choice.scale;
      for (std::int64_t i = 0; i < (end - first) * rank; ++i) inner_[static_cast<std::size_t>(i)] *= scale;
      float* out = projection.out + first * projection.out_stride;
      const Projection up{&change->b, out, projection.out_stride, nullptr, out};
      multiply_all(inner_.data(), end - first, {&up, 1});
    }
  }
}

}  // namespace maestrale::ops
