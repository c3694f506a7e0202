// The end of every product: 16 rows of one output, with bias and residual added in that order. Freestanding.
#pragma once

#include "kernels/kernel_table.h"

namespace maestrale::kernels {

template <class V>
[[gnu::always_inline]] inline void store_product(const MatmulOutput& to, std::int64_t m, std::int64_t row,
                                                 typename V::F32 value) {
  const std::int64_t valid = to.row_limit - row;
  if (valid <= 0) return;
  const std::int64_t at = m * to.stride + row;
  if (valid >= kPanelRows) {
    if (to.bias != nullptr) value = V::add(value, V::load(to.bias + row));
    if (to.residual != nullptr) value = V::add(value, V::load(to.residual + at));
    V::store(to.out + at, value);
  } else {
    const auto count = static_cast<int>(valid);
    if (to.bias != nullptr) value = V::add(value, V::load_part(to.bias + row, count));
    if (to.residual != nullptr) value = V::add(value, V::load_part(to.residual + at, count));
    V::store_part(to.out + at, value, count);
  }
}

}  // namespace maestrale::kernels
