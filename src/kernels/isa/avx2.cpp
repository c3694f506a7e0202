// The kernels for AVX2 with FMA and F16C.
#include "kernels/simd/avx2.h"
#include "kernels/isa/tables.h"
#include "kernels/make_table.h"

namespace maestrale::kernels {

const KernelTable& avx2_table() {
  static constexpr KernelTable kTable = make_table<simd::Avx2>();
  return kTable;
}

}  // namespace maestrale::kernels
