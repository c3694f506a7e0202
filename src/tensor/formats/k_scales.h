// The 12 bytes in which Q4_K and Q5_K hold 8 scales and 8 minimums of 6 bits. Pair j < 4: the low 6 bits of
// bytes j and j + 4. Pair j >= 4: the nibbles of byte j + 4, with the top 2 bits of bytes j - 4 and j above
// them.
#pragma once

#include <cstdint>

namespace maestrale {

struct KScales {
  std::uint8_t scales[8];
  std::uint8_t minimums[8];
};

inline KScales unpack_k_scales(const std::uint8_t* packed) {
  KScales pairs;
  for (int j = 0; j < 4; ++j) {
    pairs.scales[j] = packed[j] & 63;
    pairs.minimums[j] = packed[j + 4] & 63;
    pairs.scales[j + 4] = static_cast<std::uint8_t>((packed[j + 8] & 15) | ((packed[j] >> 6) << 4));
    pairs.minimums[j + 4] = static_cast<std::uint8_t>((packed[j + 8] >> 4) | ((packed[j + 4] >> 6) << 4));
  }
  return pairs;
}

inline void pack_k_scales(const std::uint8_t* scales, const std::uint8_t* minimums, std::uint8_t* packed) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<std::uint8_t>(scales[j] | ((scales[j + 4] >> 4) << 6));
    packed[j + 4] = static_cast<std::uint8_t>(minimums[j] | ((minimums[j + 4] >> 4) << 6));
    packed[j + 8] = static_cast<std::uint8_t>((scales[j + 4] & 15) | ((minimums[j + 4] & 15) << 4));
  }
}

}  // namespace maestrale
