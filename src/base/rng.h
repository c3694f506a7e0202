// Counter-based random numbers: a pure function of (seed, stream, counter), never of call order.
// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

#include <array>
#include <cstdint>

namespace maestrale {

std::array<std::uint32_t, 4> philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter);
// Uniform in [0, 1) with 53 bits.
double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter);

}  // namespace maestrale
