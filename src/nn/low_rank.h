// Reading the two sides of an adapter's change for a matrix of the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/view.h"

namespace maestrale::nn {

// The type in which a side is multiplied: its own, or f32 for what is stored in blocks or codes.
DType float_type(DType stored);

// A side in that type, with its rows in the order that the model's files have.
struct ReadySide {
  std::vector<std::byte> bytes;
  TensorView view;
};
// `paired_head` > 0: rows come as halves of heads of that size and leave as rotated pairs.
ReadySide ready_side(const TensorView& side, std::int64_t paired_head);

}  // namespace maestrale::nn
