// The kernels for plain C++, no instruction set.
#include "kernels/simd/ref.h"
#include "kernels/isa/tables.h"
#include "kernels/make_table.h"

namespace maestrale::kernels {

const KernelTable& ref_table() {
  static constexpr KernelTable kTable = make_table<simd::Ref>();
  return kTable;
}

}  // namespace maestrale::kernels
