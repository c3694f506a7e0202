// The storage types as sources of panels: for each, the panel kind, the words of codes of one block of 32
// columns, and the scales of a group. The blocks' bytes are described in tensor/formats/blocks.h.
#pragma once

#include <cstdint>

#include "kernels/panels_place.h"
#include "tensor/formats/blocks.h"

namespace maestrale::kernels {

// A Source has: Block and kBlockElements of the type; K, a Kind; codes(block, b, words), where b counts the
// 32-column blocks of one source block; scales(blocks, count, group_scales, row), the scales of `count`
// source blocks, which fill at most one group.

inline void nibble_words(const std::uint8_t* qs, Words& words) {
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t both = load_word(qs + 4 * i);
    words[i] = both & 0x0f0f0f0fu;
    words[i + 4] = (both >> 4) & 0x0f0f0f0fu;
  }
}

// Adds bit i of `bits` as bit 4 of code i.
inline void add_fifth_bits(std::uint32_t bits, Words& words) {
  for (int i = 0; i < kSteps; ++i) {
    const std::uint32_t four = (bits >> (4 * i)) & 15;
    words[i] |= ((four * 0x00204081u) & 0x01010101u) << 4;
  }
}

template <class Block, class K_>
struct SimpleSource {  // 32 columns, f16 d
  using K = K_;
  static constexpr int kBlockElements = 32;
  static void scales(const Block* blocks, int count, std::uint8_t* to, int row) {
    for (int b = 0; b < count; ++b) place_half(to + b * 2 * kPanelRows, row, &blocks[b].d.low);
  }
};

template <class Block, class K_>
struct SimpleMinSource {  // 32 columns, f16 d and m
  using K = K_;
  static constexpr int kBlockElements = 32;
  static void scales(const Block* blocks, int count, std::uint8_t* to, int row) {
    for (int b = 0; b < count; ++b) {
      place_half(to + b * 2 * kPanelRows, row, &blocks[b].d.low);
      place_half(to + K::Scales::kPlane + b * 2 * kPanelRows, row, &blocks[b].m.low);
    }
  }
};

struct SourceQ4_0 : SimpleSource<BlockQ4_0, NibbleF16> {
  static void codes(const BlockQ4_0& block, int, Words& words) { nibble_words(block.qs, words); }
};

struct SourceQ4_1 : SimpleMinSource<BlockQ4_1, NibbleF16Min> {
  static void codes(const BlockQ4_1& block, int, Words& words) { nibble_words(block.qs, words); }
};

struct SourceQ5_0 : SimpleSource<BlockQ5_0, FiveF16> {
  static void codes(const BlockQ5_0& block, int, Words& words) {
    nibble_words(block.qs, words);
    add_fifth_bits(load_word(block.qh), words);
  }
};

struct SourceQ5_1 : SimpleMinSource<BlockQ5_1, FiveF16Min> {
  static void codes(const BlockQ5_1& block, int, Words& words) {
    nibble_words(block.qs, words);
    add_fifth_bits(load_word(block.qh), words);
  }
};

struct SourceQ8_0 : SimpleSource<BlockQ8_0, ByteF16> {
  static void codes(const BlockQ8_0& block, int, Words& words) {
    std::memcpy(words, block.qs, sizeof(Words));
    for (std::uint32_t& word : words) word ^= 0x80808080u;
  }
};

struct SourceIQ4_NL : SimpleSource<BlockIQ4_NL, TableF16> {
  static void codes(const BlockIQ4_NL& block, int, Words& words) { nibble_words(block.qs, words); }
};

struct SourceMXFP4 {
  using K = TableExponent;
  static constexpr int kBlockElements = 32;
  static void codes(const BlockMXFP4& block, int, Words& words) { nibble_words(block.qs, words); }
  static void scales(const BlockMXFP4* blocks, int count, std::uint8_t* to, int row) {
    for (int b = 0; b < count; ++b) to[b * kPanelRows + row] = blocks[b].e;
  }
};

struct SourceQ2_K {
  using K = TwoSuper16;
  static constexpr int kBlockElements = 256;
  static void codes(const BlockQ2_K& block, int b, Words& words) {
    for (int i = 0; i < kSteps; ++i) {
      words[i] = (load_word(block.qs + 32 * (b / 4) + 4 * i) >> (2 * (b % 4))) & 0x03030303u;
    }
  }
  static void scales(const BlockQ2_K* block, int, std::uint8_t* to, int row) {
    for (int j = 0; j < 16; ++j) to[j * kPanelRows + row] = block->scales[j];
    place_half(to + 256, row, &block->d.low);
    place_half(to + 288, row, &block->dmin.low);
  }
};

struct SourceQ3_K {
  using K = ThreeSuper16;
  static constexpr int kBlockElements = 256;
  static void codes(const BlockQ3_K& block, int b, Words& words) {
    for (int i = 0; i < kSteps; ++i) {
      const std::uint32_t low = (load_word(block.qs + 32 * (b / 4) + 4 * i) >> (2 * (b % 4))) & 0x03030303u;
      words[i] = low | ((load_word(block.hmask + 4 * i) >> b) & 0x01010101u) << 2;
    }
  }
  static void scales(const BlockQ3_K* block, int, std::uint8_t* to, int row) {
    for (int j = 0; j < 16; ++j) {
      const int low = j < 8 ? block->scales[j] & 15 : block->scales[j - 8] >> 4;
      const int high = (block->scales[8 + j % 4] >> (2 * (j / 4))) & 3;
      to[j * kPanelRows + row] = static_cast<std::uint8_t>((low | high << 4) - 32);
    }
    place_float(to + 256, row, block->d.value());
  }
};

template <class Block>
struct SuperSource {
  static constexpr int kBlockElements = 256;
  static void nibbles(const Block& block, int b, Words& words) {
    for (int i = 0; i < kSteps; ++i) {
      words[i] = (load_word(block.qs + 32 * (b / 2) + 4 * i) >> (4 * (b % 2))) & 0x0f0f0f0fu;
    }
  }
  static void scales(const Block* block, int, std::uint8_t* to, int row) {
    place_super(to, row, block->scales);
    place_half(to + 192, row, &block->d.low);
    place_half(to + 224, row, &block->dmin.low);
  }
};

struct SourceQ4_K : SuperSource<BlockQ4_K> {
  using K = NibbleSuper;
  static void codes(const BlockQ4_K& block, int b, Words& words) { nibbles(block, b, words); }
};

struct SourceQ5_K : SuperSource<BlockQ5_K> {
  using K = FiveSuper;
  static void codes(const BlockQ5_K& block, int b, Words& words) {
    nibbles(block, b, words);
    for (int i = 0; i < kSteps; ++i) {
      words[i] |= ((load_word(block.qh + 4 * i) >> b) & 0x01010101u) << 4;
    }
  }
};

struct SourceQ6_K {
  using K = SixSuper16;
  static constexpr int kBlockElements = 256;
  static void codes(const BlockQ6_K& block, int b, Words& words) {
    const int half = b / 4;
    const int k = b % 4;
    for (int i = 0; i < kSteps; ++i) {
      const std::uint32_t low = load_word(block.ql + 64 * half + 32 * (k & 1) + 4 * i) >> (4 * (k / 2));
      const std::uint32_t high = load_word(block.qh + 32 * half + 4 * i) >> (2 * k);
      words[i] = (low & 0x0f0f0f0fu) | (high & 0x03030303u) << 4;
    }
  }
  static void scales(const BlockQ6_K* block, int, std::uint8_t* to, int row) {
    for (int j = 0; j < 16; ++j) to[j * kPanelRows + row] = static_cast<std::uint8_t>(block->scales[j]);
    place_float(to + 256, row, block->d.value());
  }
};

struct SourceIQ4_XS {
  using K = TableSuper;
  static constexpr int kBlockElements = 256;
  static void codes(const BlockIQ4_XS& block, int b, Words& words) { nibble_words(block.qs + 16 * b, words); }
  static void scales(const BlockIQ4_XS* block, int, std::uint8_t* to, int row) {
    const int upper = load_u16(block->scales_h);
    for (int b = 0; b < 8; ++b) {
      const int low = (block->scales_l[b / 2] >> (4 * (b % 2))) & 15;
      to[b * kPanelRows + row] = static_cast<std::uint8_t>((low | ((upper >> (2 * b)) & 3) << 4) - 32);
    }
    place_float(to + 128, row, block->d.value());
  }
};

// --- lattices and few levels: 16 values share a scale, every value is one of at most 16 multiples of it ---

// A LevelSource has: kElements of a block, levels (as PanelLayout::table, with 64 added, 0 after the last
// one), scales(block, out): what the level is multiplied by, for each 16 columns. The values come from
// dequantise.

template <class Block>
void lattice_scales_q2(const Block& block, float* out) {  // IQ2_XS, IQ2_S
  for (int j = 0; j < 16; ++j) {
    const int bits = (block.scales[j / 2] >> (4 * (j % 2))) & 15;
    out[j] = block.d.value() * (0.5f + static_cast<float>(bits)) * 0.25f;
  }
}

inline void level_scales(const BlockIQ2_XS& block, float* out) { lattice_scales_q2(block, out); }
inline void level_scales(const BlockIQ2_S& block, float* out) { lattice_scales_q2(block, out); }

inline void level_scales(const BlockIQ2_XXS& block, float* out) {
  for (int j = 0; j < 16; ++j) {
    const std::uint32_t bits = load_u32(block.groups[j / 2] + 4) >> 28;
    out[j] = block.d.value() * (0.5f + static_cast<float>(bits)) * 0.25f;
  }
}

inline void level_scales(const BlockIQ3_XXS& block, float* out) {
  for (int j = 0; j < 16; ++j) {
    const std::uint32_t bits = load_u32(block.signs_and_scales[j / 2]) >> 28;
    out[j] = block.d.value() * (0.5f + static_cast<float>(bits)) * 0.5f;
  }
}

inline void level_scales(const BlockIQ3_S& block, float* out) {
  for (int j = 0; j < 16; ++j) {
    const int bits = (block.scales[j / 4] >> (4 * (j / 2 % 2))) & 15;
    out[j] = block.d.value() * static_cast<float>(1 + 2 * bits);
  }
}

inline void level_scales(const BlockIQ1_S& block, float* out) {  // levels in eighths
  for (int j = 0; j < 16; ++j) {
    const int bits = (load_u16(block.qh + 2 * (j / 2)) >> 12) & 7;
    out[j] = block.d.value() * static_cast<float>(2 * bits + 1) * 0.125f;
  }
}

inline void level_scales(const BlockIQ1_M& block, float* out) {
  unsigned d = 0;
  for (unsigned k = 0; k < 4; ++k) d |= static_cast<unsigned>(block.scales[2 * k + 1] >> 4) << (4 * k);
  for (int j = 0; j < 16; ++j) {
    const int bits = (load_u16(block.scales + 2 * (j / 4)) >> (3 * (j % 4))) & 7;
    out[j] = f16_to_f32(static_cast<std::uint16_t>(d)) * static_cast<float>(2 * bits + 1) * 0.125f;
  }
}

void level_scales(const BlockNVFP4& block, float* out);

template <class Block>
void level_scales(const Block& block, float* out) {  // one scale: TQ1_0, TQ2_0, Q1_0, Q2_0
  for (int j = 0; j < 16; ++j) out[j] = block.d.value();
}

}  // namespace maestrale::kernels
