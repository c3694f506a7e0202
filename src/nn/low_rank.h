// Reading the two sides of an adapter's change for a matrix of the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "files/adapter.h"
#include "ops/ops.h"
#include "tensor/view.h"

namespace maestrale::nn {

// The type in which a side is multiplied: its own, or f32 for what is stored in blocks or codes.
DType float_type(DType stored);

// The adapter's change of a matrix by its canonical name, or null; its module's name there.
const files::LowRankPair* find_pair(const files::Adapter& adapter, std::string_view canonical,
                                    std::string* module = nullptr);

// Bytes of all its sides, packed.
Result<std::size_t> planned_change_bytes(const files::Adapter& adapter, const ops::Ops& ops);

// A side in that type, with its rows in the order that the model's files have.
struct ReadySide {
  std::vector<std::byte> bytes;
  TensorView view;
};
// `paired_head` > 0: rows come as halves of heads of that size and leave as rotated pairs.
ReadySide ready_side(const TensorView& side, std::int64_t paired_head);

}  // namespace maestrale::nn
