// Faults of mapped files: pages that are there no more, since others cut the file short or the disk fails.
#pragma once

#include <cstddef>

#include "base/result.h"

namespace maestrale {

// From now on what is missing of [begin, begin + bytes), which is mapped from a file, reads as zeros. Returns
// what the two functions below take; kResource where too many are watched. Installs the handler of SIGBUS;
// faults elsewhere go on to the handler before it.
Result<int> watch_mapping(const void* begin, std::size_t bytes);
// Before it is unmapped.
void forget_mapping(int watch);
bool mapping_faulted(int watch);

}  // namespace maestrale
