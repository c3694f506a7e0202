// The tables that the files of this folder define; dispatch.h says which of them may be called.
#pragma once

#include "kernels/kernel_table.h"

namespace maestrale::kernels {

const KernelTable& ref_table();
const KernelTable& avx2_table();
const KernelTable& avx512_table();

}  // namespace maestrale::kernels
