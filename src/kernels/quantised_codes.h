// How the codes of a group lie in a panel, and how they become bytes. A block of 32 columns is 8 steps of
// 16 rows x 4 columns = 64 bytes; step s holds columns 4s .. 4s + 3, row r at bytes 4r .. 4r + 3. Narrow
// codes share bytes between steps: a nibble vector j holds step j in its low and step j + 4 in its high bits,
// a vector of 2-bit fields 4 steps, a vector of single bits all 8. Freestanding.
//
// A Codes type has: kBytes of a group; kOffset, which a code has above its value; kChain (simd/ref.h);
// step<V>(group, block, s, table), the codes of step s of a block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/panel_layout.h"
#include "kernels/simd/inline.h"

namespace maestrale::kernels {

constexpr int kSteps = 8;
constexpr int kStepBytes = 64;

// Steps 0..3 are low nibbles, 4..7 high ones. `s` is constant once the caller's loop is unrolled.
template <class V>
[[gnu::always_inline]] inline typename V::U8 nibble_step(const std::uint8_t* block, int s) {
  const auto both = V::load_u8(block + (s & 3) * kStepBytes);
  return s < 4 ? V::and_u8(both, V::bytes(15)) : V::template shift_u8<4>(both, V::bytes(15));
}

// 2 bits of step s, placed at bit kAt (0 or 4), or-ed into `rest`.
template <class V, int kAt>
[[gnu::always_inline]] inline typename V::U8 pair_step(const std::uint8_t* block, int s,
                                                       typename V::U8 rest) {
  const auto fields = V::load_u8(block + s / 4 * kStepBytes);
  const auto mask = V::bytes(3 << kAt);
  switch (s & 3) {
    case 0:
      return V::template shift_or<0 - kAt>(fields, mask, rest);
    case 1:
      return V::template shift_or<2 - kAt>(fields, mask, rest);
    case 2:
      return V::template shift_or<4 - kAt>(fields, mask, rest);
    default:
      return V::template shift_or<6 - kAt>(fields, mask, rest);
  }
}

// 1 bit of step s, placed at bit kAt, or-ed into `rest`.
template <class V, int kAt>
[[gnu::always_inline]] inline typename V::U8 bit_step(const std::uint8_t* block, int s, typename V::U8 rest) {
  const auto bits = V::load_u8(block);
  const auto mask = V::bytes(1 << kAt);
  switch (s) {
    case 0:
      return V::template shift_or<0 - kAt>(bits, mask, rest);
    case 1:
      return V::template shift_or<1 - kAt>(bits, mask, rest);
    case 2:
      return V::template shift_or<2 - kAt>(bits, mask, rest);
    case 3:
      return V::template shift_or<3 - kAt>(bits, mask, rest);
    case 4:
      return V::template shift_or<4 - kAt>(bits, mask, rest);
    case 5:
      return V::template shift_or<5 - kAt>(bits, mask, rest);
    case 6:
      return V::template shift_or<6 - kAt>(bits, mask, rest);
    default:
      return V::template shift_or<7 - kAt>(bits, mask, rest);
  }
}

constexpr int kNibbleBytes = 4 * kStepBytes;  // of one block
constexpr int kPairBytes = 2 * kStepBytes;
constexpr int kBitBytes = kStepBytes;

template <int kBlocks, int kOffset_>
struct NibbleCodes {
  static constexpr int kBytes = kBlocks * kNibbleBytes;
  static constexpr int kOffset = kOffset_;
  static constexpr int kChain = 8;
  static constexpr bool kTable = false;
  template <class V>
  SIMD_INLINE typename V::U8 step(const std::uint8_t* group, int block, int s, typename V::U8 /*table*/) {
    return nibble_step<V>(group + block * kNibbleBytes, s);
  }
};

// Nibbles of all blocks, then the fifth bits of all blocks.
template <int kBlocks, int kOffset_>
struct FiveBitCodes {
  static constexpr int kBytes = kBlocks * (kNibbleBytes + kBitBytes);
  static constexpr int kOffset = kOffset_;
  static constexpr int kChain = 4;
  static constexpr bool kTable = false;
  template <class V>
  SIMD_INLINE typename V::U8 step(const std::uint8_t* group, int block, int s, typename V::U8 /*table*/) {
    return bit_step<V, 4>(group + kBlocks * kNibbleBytes + block * kBitBytes, s,
                          nibble_step<V>(group + block * kNibbleBytes, s));
  }
};

// Nibbles of all blocks, then the upper two bits of all blocks.
template <int kBlocks, int kOffset_>
struct SixBitCodes {
  static constexpr int kBytes = kBlocks * (kNibbleBytes + kPairBytes);
  static constexpr int kOffset = kOffset_;
  static constexpr int kChain = 2;
  static constexpr bool kTable = false;
  template <class V>
  SIMD_INLINE typename V::U8 step(const std::uint8_t* group, int block, int s, typename V::U8 /*table*/) {
    return pair_step<V, 4>(group + kBlocks * kNibbleBytes + block * kPairBytes, s,
                           nibble_step<V>(group + block * kNibbleBytes, s));
  }
};

template <int kBlocks>
struct TwoBitCodes {
  static constexpr int kBytes = kBlocks * kPairBytes;
  static constexpr int kOffset = 0;
  static constexpr int kChain = 8;
  static constexpr bool kTable = false;
  template <class V>
  SIMD_INLINE typename V::U8 step(const std::uint8_t* group, int block, int s, typename V::U8 /*table*/) {
    return pair_step<V, 0>(group + block * kPairBytes, s, V::bytes(0));
  }
};

// Lower two bits of all blocks, then the third bits of all blocks.
template <int kBlocks, int kOffset_>
struct ThreeBitCodes {
  static constexpr int kBytes = kBlocks * (kPairBytes + kBitBytes);
  static constexpr int kOffset = kOffset_;
  static constexpr int kChain = 8;
  static constexpr bool kTable = false;
  template <class V>
  SIMD_INLINE typename V::U8 step(const std::uint8_t* group, int block, int s, typename V::U8 /*table*/) {
    return bit_step<V, 2>(group + kBlocks * kPairBytes + block * kBitBytes, s,
                          pair_step<V, 0>(group + block * kPairBytes, s, V::bytes(0)));
  }
};

template <int kBlocks>
struct ByteCodes {
  static constexpr int kBytes = kBlocks * kSteps * kStepBytes;
  static constexpr int kOffset = 128;
  static constexpr int kChain = 0;
  static constexpr bool kTable = false;
  template <class V>
  SIMD_INLINE typename V::U8 step(const std::uint8_t* group, int block, int s, typename V::U8 /*table*/) {
    return V::load_u8(group + (block * kSteps + s) * kStepBytes);
  }
};

// Nibbles that index PanelLayout::table, whose entries are values + kOffset.
template <int kBlocks, int kOffset_, int kChain_>
struct TableCodes {
  static constexpr int kBytes = kBlocks * kNibbleBytes;
  static constexpr int kOffset = kOffset_;
  static constexpr int kChain = kChain_;
  static constexpr bool kTable = true;
  template <class V>
  SIMD_INLINE typename V::U8 step(const std::uint8_t* group, int block, int s, typename V::U8 table) {
    return V::lookup(table, nibble_step<V>(group + block * kNibbleBytes, s));
  }
};

}  // namespace maestrale::kernels
