// Matrices that attention keeps one per head, packed head by head; kept apart from WeightLoader's general
// forms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "nn/loader.h"
#include "ops/ops.h"

namespace maestrale::nn {

// Two matrices per head in one tensor [heads · (first + second), columns].
struct HeadPairShape {
  std::int64_t heads = 0;
  std::int64_t first = 0, second = 0;  // rows of a head's matrices
  std::int64_t columns = 0;
};

struct HeadPair {
  std::vector<ops::Weight> first;   // [columns, first]: transposed
  std::vector<ops::Weight> second;  // [second, columns]
};

// A tensor [heads, rows, columns].
Result<std::vector<ops::Weight>> load_heads(WeightLoader& loader, std::string_view canonical,
                                            std::int64_t heads, std::int64_t rows, std::int64_t columns);
// Floating-point types stay what they are, FP8 where the scales' blocks begin with a head's matrix; otherwise
// the values are packed as f32, exactly (quantised types only for the transposed part).
Result<HeadPair> load_head_pair(WeightLoader& loader, std::string_view canonical, const HeadPairShape& shape);

// Bytes that those two pack. `tensor` may be of any shape: only its type counts.
Result<std::size_t> heads_bytes(const TensorView& tensor, const ops::Ops& ops, std::int64_t heads,
                                std::int64_t rows, std::int64_t columns);
Result<std::size_t> head_pair_bytes(const TensorView& tensor, const ops::Ops& ops,
                                    const HeadPairShape& shape);

}  // namespace maestrale::nn
