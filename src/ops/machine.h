// What this machine can do, measured, so that speeds can be given as fractions of a limit from the same run.
#pragma once

#include "base/result.h"

namespace maestrale::ops {

// Best rate of int8 multiply-adds (2 operations each) of the instruction set in use, over `threads` threads.
Result<double> measure_int8_peak_gops(int threads);
// Rate at which `threads` threads read memory that no cache holds, in GB/s (1e9 bytes).
Result<double> measure_read_gbps(int threads);

}  // namespace maestrale::ops
