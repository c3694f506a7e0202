// The fixed codebooks of the IQ1, IQ2 and IQ3 formats: each entry is a point of a lattice, 8 or 4 small
// values. An entry packs one digit per value, the first value in the lowest bits.
#pragma once

#include <cstdint>

namespace maestrale {

// 8 two-bit digits: value = kLevelsIQ2[digit] (a magnitude), or digit - 1 for IQ1.
extern const std::uint16_t kLatticeIQ2_XXS[256];
extern const std::uint16_t kLatticeIQ2_XS[512];
extern const std::uint16_t kLatticeIQ2_S[1024];
extern const std::uint16_t kLatticeIQ1[2048];

// 4 three-bit digits (written in octal): value = kLevelsIQ3_XXS[digit], or 2 * digit + 1 for IQ3_S
// (magnitudes).
extern const std::uint16_t kLatticeIQ3_XXS[256];
extern const std::uint16_t kLatticeIQ3_S[512];

inline constexpr float kLevelsIQ2[4] = {8, 25, 43, 0};
inline constexpr float kLevelsIQ3_XXS[8] = {4, 12, 20, 28, 36, 44, 52, 62};

// The 7 stored sign bits of 8 values; the eighth sign makes the number of minus signs even.
inline unsigned even_signs(unsigned seven_bits) {
  return seven_bits | (static_cast<unsigned>(__builtin_parity(seven_bits)) << 7);
}

}  // namespace maestrale
