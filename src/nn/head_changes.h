// An adapter's change of a matrix that latent attention keeps as two small matrices per head
// (nn/head_weights.h).
#pragma once

#include <cstddef>
#include <string_view>

#include "nn/head_weights.h"

namespace maestrale::nn {

// Of the matrix [heads · (first + second), columns] by that name. With B's rows cut like the matrix itself,
// the transposed first matrix of a head changes by Aᵀ Bᵀ and the second by B A; all heads share A.
Status change_head_pair(WeightLoader& loader, std::string_view canonical, const HeadPairShape& shape,
                        HeadPair& pair);

// Bytes that the changes of all adapters pack.
Result<std::size_t> head_change_bytes(const files::Checkpoint& checkpoint, const ops::Ops& ops,
                                      std::string_view canonical, const HeadPairShape& shape);

}  // namespace maestrale::nn
