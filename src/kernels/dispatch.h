// Which instruction sets this processor and system can run, and which table of kernels to use.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernels/kernel_table.h"

namespace maestrale::kernels {

// "ref", "avx2" or "avx512"; null if there is no such table or this machine cannot run it.
const KernelTable* kernel_table(std::string_view name);

// All tables this machine can run, slowest first; never empty.
std::vector<const KernelTable*> usable_tables();

// The fastest usable table, or the one that the environment variable MAESTRALE_ISA names.
Result<const KernelTable*> default_table();

}  // namespace maestrale::kernels
