// What adapters add to the products of a matrix.
#include <algorithm>

#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {
namespace {

bool same_list(AdapterChoices a, AdapterChoices b) { return a.data() == b.data() && a.size() == b.size(); }

const LowRankChange* change_by(const LowRankChanges& changes, int adapter) {
  const auto found =
      std::find_if(changes.of.begin(), changes.of.end(),
                   [adapter](const LowRankChange& change) { return change.adapter == adapter; });
  return found == changes.of.end() ? nullptr : &*found;
}

}  // namespace

Status CpuOps::add_change(Weight& weight, int adapter, float scale, const TensorView& a,
                          const TensorView& b) {
  if (weight.changes == nullptr) weight.changes = &changes_.emplace_back();
  auto& changes = const_cast<LowRankChanges&>(*weight.changes);  // ours: it lies in changes_
  LowRankChange change{.adapter = adapter, .scale = scale, .a = {}, .b = {}};
  change.a = TRY(pack(a, {}));
  change.b = TRY(pack(b, {}));
  changes.of.push_back(change);
  return {};
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
