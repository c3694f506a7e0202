// Fills a KernelTable with the kernels of one vector set V (simd/*.h). Every function here and below is a
// template over V, so that code compiled with one set's flags can never be linked into another's.
// Freestanding.
#pragma once

#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/float_matmul.h"
#include "kernels/kernel_table.h"
#include "kernels/latent_attention.h"
#include "kernels/quantised_matmul.h"
#include "kernels/quantised_rows.h"
#include "kernels/recurrent.h"
#include "kernels/yardsticks.h"

namespace maestrale::kernels {

template <class V>
constexpr KernelTable make_table() {
  KernelTable table{};
  table.name = V::kName;
  table.quantise_row = quantise_row<V>;
  table.matmul = matmul<V>;
  table.matmul_streams = matmul_streams<V>;
  table.matmul_scratch_bytes = matmul_scratch_bytes<V>();
  table.dot_yardstick = dot_yardstick<V>;
  table.read_yardstick = read_yardstick<V>;
  table.matmul_float = matmul_float<V>;
  table.rms_norm = rms_norm<V>;
  table.layer_norm = layer_norm<V>;
  table.silu_multiply = silu_multiply<V>;
  table.gelu_multiply = gelu_multiply<V>;
  table.exact_gelu_multiply = exact_gelu_multiply<V>;
  table.clamped_swiglu = clamped_swiglu<V>;
  table.soft_cap = soft_cap<V>;
  table.add_to = add_to<V>;
  table.attend = attend<V>;
  table.attend_latent = attend_latent<V>;
  table.join_latent = join_latent<V>;
  table.finish_latent = finish_latent<V>;
  table.rate_page = rate_page<V>;
  table.conv_step = conv_step<V>;
  table.scan_step = scan_step<V>;
  return table;
}

}  // namespace maestrale::kernels
