// Writes of one row into a group of a panel, four codes at a time: a block of 32 codes is 8 words of 4 bytes,
// one per step (quantised_codes.h). The readers of the same bytes are in quantised_codes.h and
// quantised_scales.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/quantised_kinds.h"

namespace maestrale::kernels {

using Words = std::uint32_t[kSteps];

inline std::uint32_t load_word(const std::uint8_t* p) {
  std::uint32_t word;
  std::memcpy(&word, p, 4);
  return word;
}

inline void store_word(std::uint8_t* step, int row, std::uint32_t word) {
  std::memcpy(step + 4 * row, &word, 4);
}

inline void place_nibbles(std::uint8_t* block, int row, const Words& codes) {
  for (int j = 0; j < 4; ++j) {
    const std::uint32_t low = codes[j] & 0x0f0f0f0fu;
    store_word(block + j * kStepBytes, row, low | (codes[j + 4] & 0x0f0f0f0fu) << 4);
  }
}

// Bits kFrom and kFrom + 1 of every code.
template <int kFrom>
void place_pairs(std::uint8_t* block, int row, const Words& codes) {
  for (int h = 0; h < 2; ++h) {
    std::uint32_t word = 0;
    for (int s = 0; s < 4; ++s) word |= ((codes[4 * h + s] >> kFrom) & 0x03030303u) << (2 * s);
    store_word(block + h * kStepBytes, row, word);
  }
}

template <int kFrom>
void place_bits(std::uint8_t* block, int row, const Words& codes) {
  std::uint32_t word = 0;
  for (int s = 0; s < kSteps; ++s) word |= ((codes[s] >> kFrom) & 0x01010101u) << s;
  store_word(block, row, word);
}

template <int kBlocks, int kOffset>
void place(NibbleCodes<kBlocks, kOffset>, std::uint8_t* group, int block, int row, const Words& codes) {
  place_nibbles(group + block * kNibbleBytes, row, codes);
}

template <int kBlocks, int kOffset, int kChain>
void place(TableCodes<kBlocks, kOffset, kChain>, std::uint8_t* group, int block, int row,
           const Words& codes) {
  place_nibbles(group + block * kNibbleBytes, row, codes);
}

template <int kBlocks, int kOffset>
void place(FiveBitCodes<kBlocks, kOffset>, std::uint8_t* group, int block, int row, const Words& codes) {
  place_nibbles(group + block * kNibbleBytes, row, codes);
  place_bits<4>(group + kBlocks * kNibbleBytes + block * kBitBytes, row, codes);
}

template <int kBlocks, int kOffset>
void place(SixBitCodes<kBlocks, kOffset>, std::uint8_t* group, int block, int row, const Words& codes) {
  place_nibbles(group + block * kNibbleBytes, row, codes);
  place_pairs<4>(group + kBlocks * kNibbleBytes + block * kPairBytes, row, codes);
}

template <int kBlocks>
void place(TwoBitCodes<kBlocks>, std::uint8_t* group, int block, int row, const Words& codes) {
  place_pairs<0>(group + block * kPairBytes, row, codes);
}

template <int kBlocks, int kOffset>
void place(ThreeBitCodes<kBlocks, kOffset>, std::uint8_t* group, int block, int row, const Words& codes) {
  place_pairs<0>(group + block * kPairBytes, row, codes);
  place_bits<2>(group + kBlocks * kPairBytes + block * kBitBytes, row, codes);
}

template <int kBlocks>
void place(ByteCodes<kBlocks>, std::uint8_t* group, int block, int row, const Words& codes) {
  for (int s = 0; s < kSteps; ++s) store_word(group + (block * kSteps + s) * kStepBytes, row, codes[s]);
}

// --- scales ---

// A 16-bit float of one row, in a plane of them.
inline void place_half(std::uint8_t* plane, int row, const std::uint8_t* half) {
  std::memcpy(plane + 2 * row, half, 2);
}

inline void place_float(std::uint8_t* plane, int row, float value) {
  std::memcpy(plane + 4 * row, &value, 4);
}

// The 12 packed bytes of Q4_K and Q5_K in SuperScales' order. In both, scale j < 4 is a byte's low 6 bits,
// and the nibbles of scales and minimums 4..7 share bytes 8..11.
inline void place_super(std::uint8_t* scales, int row, const std::uint8_t* packed) {
  for (int p = 0; p < 4; ++p) {
    const unsigned s = packed[p];
    const unsigned m = packed[p + 4];
    const unsigned both = packed[p + 8];
    std::uint8_t* at = scales + p * kPanelRows + row;
    at[0] = static_cast<std::uint8_t>((s & 15) | (both & 15) << 4);
    at[64] = static_cast<std::uint8_t>((m & 15) | (both & 0xf0));
    at[128] = static_cast<std::uint8_t>(((s >> 4) & 3) | (s >> 6) << 2 | ((m >> 4) & 3) << 4 | (m >> 6) << 6);
  }
}

}  // namespace maestrale::kernels
