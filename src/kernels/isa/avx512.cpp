// The kernels for AVX-512 with VNNI.
#include "kernels/simd/avx512.h"
#include "kernels/isa/tables.h"
#include "kernels/make_table.h"

namespace maestrale::kernels {

const KernelTable& avx512_table() {
  static constexpr KernelTable kTable = make_table<simd::Avx512>();
  return kTable;
}

}  // namespace maestrale::kernels
