// Byte layouts of the block formats of GGUF files. Every field is bytes, so a block may lie at any address of
// a mapped file; 16-bit fields are little-endian. The meaning of the fields is in the file of each format.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/half.h"

namespace maestrale {

constexpr float kF16Max = 65504.0f;

// A 16-bit float as it lies in a block.
struct BlockF16 {
  std::uint8_t low, high;

  std::uint16_t bits() const { return static_cast<std::uint16_t>(low | (high << 8)); }
  float value() const { return f16_to_f32(bits()); }
  // Rounds to nearest even; what lies beyond the range becomes the largest finite number, NaN becomes 0.
  void store(float value) {
    const float bounded = value > kF16Max    ? kF16Max
                          : value < -kF16Max ? -kF16Max
                          : value == value   ? value
                                             : 0.0f;
    const std::uint16_t half = f32_to_f16(bounded);
    low = static_cast<std::uint8_t>(half);
    high = static_cast<std::uint8_t>(half >> 8);
  }
};

struct BlockQ4_0 {
  BlockF16 d;
  std::uint8_t qs[16];
};

struct BlockQ4_1 {
  BlockF16 d, m;
  std::uint8_t qs[16];
};

struct BlockQ5_0 {
  BlockF16 d;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};

struct BlockQ5_1 {
  BlockF16 d, m;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};

struct BlockQ8_0 {
  BlockF16 d;
  std::int8_t qs[32];
};

struct BlockQ2_K {
  std::uint8_t scales[16];  // low nibble: scale, high nibble: minimum
  std::uint8_t qs[64];
  BlockF16 d, dmin;
};

struct BlockQ3_K {
  std::uint8_t hmask[32];
  std::uint8_t qs[64];
  std::uint8_t scales[12];
  BlockF16 d;
};

struct BlockQ4_K {
  BlockF16 d, dmin;
  std::uint8_t scales[12];  // k_scales.h
  std::uint8_t qs[128];
};

struct BlockQ5_K {
  BlockF16 d, dmin;
  std::uint8_t scales[12];  // k_scales.h
  std::uint8_t qh[32];
  std::uint8_t qs[128];
};

struct BlockQ6_K {
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t scales[16];
  BlockF16 d;
};

struct BlockIQ2_XXS {
  BlockF16 d;
  std::uint8_t groups[8][8];  // per 32 values: 4 lattice indices, u32 of 4 x 7 sign bits and a 4-bit scale
};

struct BlockIQ2_XS {
  BlockF16 d;
  std::uint8_t qs[64];  // 32 x u16: 9-bit lattice index, 7 sign bits
  std::uint8_t scales[8];
};

struct BlockIQ2_S {
  BlockF16 d;
  std::uint8_t qs[32];
  std::uint8_t signs[32];
  std::uint8_t qh[8];
  std::uint8_t scales[8];
};

struct BlockIQ3_XXS {
  BlockF16 d;
  std::uint8_t qs[64];
  std::uint8_t signs_and_scales[8][4];  // u32 of 4 x 7 sign bits and a 4-bit scale
};

struct BlockIQ3_S {
  BlockF16 d;
  std::uint8_t qs[64];
  std::uint8_t qh[8];
  std::uint8_t signs[32];
  std::uint8_t scales[4];
};

struct BlockIQ1_S {
  BlockF16 d;
  std::uint8_t qs[32];
  std::uint8_t qh[16];  // 8 x u16: 4 x 3 index bits, 3-bit scale, sign of the shift
};

struct BlockIQ1_M {
  std::uint8_t qs[32];
  std::uint8_t qh[16];
  std::uint8_t scales[8];  // 4 x u16: 4 x 3-bit scales, one nibble of the f16 scale of the block
};

struct BlockIQ4_NL {
  BlockF16 d;
  std::uint8_t qs[16];
};

struct BlockIQ4_XS {
  BlockF16 d;
  std::uint8_t scales_h[2];
  std::uint8_t scales_l[4];
  std::uint8_t qs[128];
};

struct BlockTQ1_0 {
  std::uint8_t qs[48];
  std::uint8_t qh[4];
  BlockF16 d;
};

struct BlockTQ2_0 {
  std::uint8_t qs[64];
  BlockF16 d;
};

struct BlockMXFP4 {
  std::uint8_t e;
  std::uint8_t qs[16];
};

struct BlockNVFP4 {
  std::uint8_t scales[4];
  std::uint8_t qs[32];
};

struct BlockQ1_0 {
  BlockF16 d;
  std::uint8_t qs[16];
};

struct BlockQ2_0 {
  BlockF16 d;
  std::uint8_t qs[16];
};

// Types of one value per block.
using BlockF32 = std::uint8_t[4];
using BlockBF16 = std::uint8_t[2];
using BlockF64 = std::uint8_t[8];
using BlockF8E4M3 = std::uint8_t;
using BlockI8 = std::uint8_t;
using BlockU8 = std::uint8_t;
using BlockI16 = std::uint8_t[2];
using BlockI32 = std::uint8_t[4];
using BlockI64 = std::uint8_t[8];

#define FORMAT(id, name, ggml_type, block_elements, block_bytes) \
  static_assert(sizeof(Block##id) == (block_bytes) && alignof(Block##id) == 1);
#include "tensor/formats.def"
#undef FORMAT

template <class Block>
const Block* as_blocks(const std::byte* bytes) {
  return reinterpret_cast<const Block*>(bytes);
}

template <class Block>
Block* as_blocks(std::byte* bytes) {
  return reinterpret_cast<Block*>(bytes);
}

inline std::uint16_t load_u16(const std::uint8_t* bytes) {
  return static_cast<std::uint16_t>(bytes[0] | (bytes[1] << 8));
}

inline std::uint32_t load_u32(const std::uint8_t* bytes) {
  return load_u16(bytes) | (std::uint32_t{load_u16(bytes + 2)} << 16);
}

}  // namespace maestrale
