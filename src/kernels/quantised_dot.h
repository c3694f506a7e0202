// Where the integer sums of codes that are stored with an offset begin. Freestanding.
#pragma once

#include <cstdint>

namespace maestrale::kernels {

// What a dot product begins from, so that codes with kOffset added give the product of the values.
template <class V, int kOffset, int kChain>
[[gnu::always_inline]] inline typename V::I32 dot_origin(std::int32_t offset_128) {
  static_assert(kOffset == 0 || 128 % kOffset == 0);
  if constexpr (kOffset == 0 || (kChain == 0 && !V::kByteDot)) return V::izero();
  constexpr int kShift = kOffset == 128  ? 0
                         : kOffset == 64 ? 1
                         : kOffset == 32 ? 2
                         : kOffset == 16 ? 3
                         : kOffset == 8  ? 4
                                         : 5;
  return V::template shift_right<kShift>(V::ibroadcast(offset_128));
}

}  // namespace maestrale::kernels
