// PanelLayout: how the rows of one quantised type stand once repacked for the kernels. A panel is 16 rows;
// its columns are cut into groups, and a group holds first the codes of its blocks of 32 columns, then their
// scales (quantised_codes.h, quantised_scales.h). Freestanding: included by the files of one instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace maestrale {
enum class DType : std::uint8_t;
}

namespace maestrale::kernels {

constexpr int kPanelRows = 16;     // one lane of a vector = one row
constexpr int kBlockColumns = 32;  // columns that share one activation scale

// Codes and scales of a panel; one instantiation of the kernels each.
enum class PanelKind : std::uint8_t {
  kNibbleF16,      // q4_0: code - 8, f16 scale
  kNibbleF16Min,   // q4_1: f16 scale and minimum
  kNibbleSuper,    // q4_k: 6-bit scales and minimums, f16 superscales
  kFiveF16,        // q5_0: code - 16
  kFiveF16Min,     // q5_1
  kFiveSuper,      // q5_k
  kByteF16,        // q8_0
  kTwoSuper16,     // q2_k: 4-bit scales and minimums per 16 columns
  kThreeSuper16,   // q3_k: code - 4, int8 scales per 16 columns
  kSixSuper16,     // q6_k: code - 32, int8 scales per 16 columns
  kTableF16,       // iq4_nl: 16-entry table of codes
  kTableSuper,     // iq4_xs: table, int8 scales per 32 columns
  kTableExponent,  // mxfp4: table, power-of-two scale
  kTableF32,       // every lattice, ternary and binary type: table, f32 scale per 16 columns
};

struct PanelLayout {
  DType source{};
  PanelKind kind{};
  int group_columns = 0;
  int group_bytes = 0;                      // of 16 rows, a multiple of 64
  alignas(16) std::uint8_t table[16] = {};  // the table kinds: value + offset of every code
};

}  // namespace maestrale::kernels
