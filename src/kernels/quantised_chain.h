// What every kernel of quantised panels shares: what it is given, and one link of the chain that each output
// is. Freestanding.
#pragma once

#include "kernels/activation_block.h"
#include "kernels/matmul_output.h"
#include "kernels/quantised_dot.h"
#include "kernels/quantised_kinds.h"

namespace maestrale::kernels {

struct MatmulArgs {
  const PanelLayout* layout;
  const std::uint8_t* panels;
  std::int64_t panel_count;
  std::int64_t panel_bytes;
  std::int64_t blocks;  // of 32 columns in a row
  const ActivationBlock* activations;
  std::int64_t activation_count;
  std::int64_t activation_stride;  // blocks
  MatmulOutput to;
  std::uint8_t* scratch;
};

// One link of the chain, from the dots of one block.
template <class V, class Scales>
[[gnu::always_inline]] inline typename V::F32 scaled(const typename V::I32 (&dots)[2], typename V::F32 scale0,
                                                     typename V::F32 scale1) {
  const typename V::F32 first = V::mul(V::to_f32(dots[0]), scale0);
  return Scales::kHalves == 1 ? first : V::fma(V::to_f32(dots[1]), scale1, first);
}

// The weights come from memory in one long stream; asking for them this far ahead hides its latency behind
// the arithmetic. Nothing is read beyond the panels, a prefetch may point there.
constexpr int kAheadBytes = 2048;

template <class V>
[[gnu::always_inline]] inline void prefetch_lines(const std::uint8_t* first, int bytes) {
  for (int at = 0; at < bytes; at += 64) V::prefetch(first + at);
}

}  // namespace maestrale::kernels
