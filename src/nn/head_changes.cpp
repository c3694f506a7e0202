#include "nn/head_changes.h"

#include <array>
#include <span>
#include <vector>

#include "nn/low_rank.h"

namespace maestrale::nn {
namespace {

// A matrix of f32.
class Floats {
 public:
  Floats(std::int64_t rows, std::int64_t columns)
      : rows_(rows), columns_(columns), values_(static_cast<std::size_t>(rows * columns)) {}
  explicit Floats(const TensorView& stored) : Floats(stored.rows(), stored.columns()) {
    traits(stored.dtype).dequantise(stored.data.data(), values_.data(), stored.elements());
  }

  // Rows [first, first + count).
  Floats cut(std::int64_t first, std::int64_t count) const {
    Floats part(count, columns_);
    std::copy_n(values_.begin() + first * columns_, count * columns_, part.values_.begin());
    return part;
  }
  Floats transposed() const {
    Floats other(columns_, rows_);
    for (std::int64_t row = 0; row < rows_; ++row) {
      for (std::int64_t column = 0; column < columns_; ++column)
        other.values_[static_cast<std::size_t>(column * rows_ + row)] =
            values_[static_cast<std::size_t>(row * columns_ + column)];
    }
    return other;
  }
  Result<ops::Weight> pack(WeightLoader& loader) const {
    const TensorView view{.name = {},
                          .dtype = DType::kF32,
                          .shape = {rows_, columns_},
                          .data = std::as_bytes(std::span<const float>(values_))};
    return loader.pack(view, {});
  }

 private:
  std::int64_t rows_, columns_;
  std::vector<float> values_;
};

Status change_heads(WeightLoader& loader, const WeightLoader::Change& change, const HeadPairShape& shape,
                    HeadPair& pair) {
  const Floats a(change.a), b(change.b);
  const ops::Weight shared = TRY(a.pack(loader)), shared_transposed = TRY(a.transposed().pack(loader));
  for (std::int64_t head = 0; head < shape.heads; ++head) {
    const std::int64_t row = head * (shape.first + shape.second);
    const ops::Weight first = TRY(b.cut(row, shape.first).transposed().pack(loader));
    const ops::Weight second = TRY(b.cut(row + shape.first, shape.second).pack(loader));
    const auto index = static_cast<std::size_t>(head);
    TRY(loader.add_change(pair.first[index], {change.adapter, change.scale, first, shared_transposed}));
    TRY(loader.add_change(pair.second[index], {change.adapter, change.scale, shared, second}));
  }
  return {};
}

}  // namespace

Status change_head_pair(WeightLoader& loader, std::string_view canonical, const HeadPairShape& shape,
                        HeadPair& pair) {
  const std::int64_t rows = shape.heads * (shape.first + shape.second);
  for (const auto& change : TRY(loader.changes_of(canonical, std::array{rows, shape.columns})))
    TRY(change_heads(loader, change, shape, pair));
  return {};
}

Result<std::size_t> head_change_bytes(const files::Checkpoint& checkpoint, const ops::Ops& ops,
                                      std::string_view canonical, const HeadPairShape& shape) {
  std::size_t bytes = 0;
  for (const files::Adapter& adapter : checkpoint.adapters) {
    const files::LowRankPair* change = find_pair(adapter, canonical);
    if (change == nullptr) continue;
    const std::int64_t rank = change->b.columns();
    const auto size = [&](std::int64_t rows, std::int64_t columns) {
      return ops.packed_bytes(DType::kF32, rows, columns);
    };
    bytes += TRY(size(rank, shape.columns)) + TRY(size(shape.columns, rank));
    bytes += static_cast<std::size_t>(shape.heads) *
             (TRY(size(rank, shape.first)) + TRY(size(shape.second, rank)));
  }
  return bytes;
}

}  // namespace maestrale::nn
