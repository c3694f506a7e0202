#include "kernels/panels.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/activation_block.h"
#include "kernels/panels_sources.h"
#include "tensor/formats/fp8.h"
#include "tensor/formats/iq4_levels.h"

namespace maestrale::kernels {

void level_scales(const BlockNVFP4& block, float* out) {  // levels in halves
  for (int j = 0; j < 4; ++j) {
    const auto code = static_cast<std::uint8_t>(block.scales[j] & 0x7f);
    out[j] = code == 0x7f ? 0.0f : 0.5f * f8_e4m3_to_f32(code);
  }
}

namespace {

using Pack = void (*)(const PanelLayout& layout, const std::uint8_t* row, std::int64_t columns, int lane,
                      std::uint8_t* panel);

// One row of a type whose codes are read from its bits.
template <class Block, class Source>
void pack_codes(const PanelLayout&, const std::uint8_t* row, std::int64_t columns, int lane,
                std::uint8_t* panel) {
  using K = typename Source::K;
  constexpr int kInner = Source::kBlockElements / kBlockColumns;
  constexpr int kPerGroup = K::kColumns / Source::kBlockElements;
  const auto* block = reinterpret_cast<const Block*>(row);
  const std::int64_t total = columns / Source::kBlockElements;
  for (std::int64_t at = 0; at < total; at += kPerGroup, panel += K::kBytes) {
    const int count = total - at < kPerGroup ? static_cast<int>(total - at) : kPerGroup;
    for (int i = 0; i < count; ++i) {
      for (int b = 0; b < kInner; ++b) {
        Words words;
        Source::codes(block[at + i], b, words);
        place(typename K::Codes{}, panel, i * kInner + b, lane, words);
      }
    }
    Source::scales(block + at, count, panel + K::Codes::kBytes, lane);
  }
}

// The entry of the table whose level this is. A value that is not finite belongs to a scale that is not.
std::uint32_t level_index(const PanelLayout& layout, float value, float scale) {
  const float quotient = value / scale;
  if (!(std::fabs(quotient) < 64.0f)) return 0;
  const auto level = static_cast<int>(std::lrintf(quotient)) + 64;
  for (std::uint32_t i = 0; i < 16; ++i) {
    if (layout.table[i] == level) return i;
  }
  return 0;
}

// One row of a type whose codes are found from its values and scales.
template <class Block, int kElements>
void pack_levels(const PanelLayout& layout, const std::uint8_t* row, std::int64_t columns, int lane,
                 std::uint8_t* panel) {
  using K = TableF32;
  const auto* block = reinterpret_cast<const Block*>(row);
  for (std::int64_t at = 0; at < columns; at += kElements, ++block) {
    float values[kElements];
    float scales[16];
    traits(layout.source).dequantise(reinterpret_cast<const std::byte*>(block), values, kElements);
    level_scales(*block, scales);
    for (int b = 0; b < kElements / kBlockColumns; ++b, panel += K::kBytes) {
      Words words = {};
      for (int j = 0; j < kBlockColumns; ++j) {
        const std::uint32_t index = level_index(layout, values[32 * b + j], scales[2 * b + j / 16]);
        words[j / 4] |= index << (8 * (j % 4));
      }
      place(K::Codes{}, panel, 0, lane, words);
      for (int half = 0; half < 2; ++half) {
        place_float(panel + K::Codes::kBytes + half * 4 * kPanelRows, lane, scales[2 * b + half]);
      }
    }
  }
}

struct Entry {
  PanelLayout layout;
  Pack pack;
};

template <class K>
constexpr Entry entry(DType source, PanelKind kind, Pack pack) {
  return {{.source = source, .kind = kind, .group_columns = K::kColumns, .group_bytes = K::kBytes}, pack};
}

// A table kind: up to 16 values, stored with the kind's offset added.
template <class K, class Number, int kCount>
constexpr Entry table_entry(DType source, PanelKind kind, const Number (&values)[kCount], Pack pack) {
  static_assert(kCount <= 16);
  Entry made = entry<K>(source, kind, pack);
  for (int i = 0; i < kCount; ++i) {
    made.layout.table[i] = static_cast<std::uint8_t>(static_cast<int>(values[i]) + K::Codes::kOffset);
  }
  return made;
}

constexpr int kTwiceE2M1[] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
constexpr int kEighths[] = {-9, -7, -1, 1, 7, 9};
constexpr int kMagnitudes2[] = {-43, -25, -8, 0, 8, 25, 43};
constexpr int kMagnitudes3[] = {-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62};
constexpr int kOdd[] = {-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15};
constexpr int kFew[] = {-1, 0, 1, 2};

#define CODES(id, kind) entry<kind>(DType::k##id, PanelKind::k##kind, pack_codes<Block##id, Source##id>)
#define TABLE(id, kind, values) \
  table_entry<kind>(DType::k##id, PanelKind::k##kind, values, pack_codes<Block##id, Source##id>)
#define LEVELS(id, elements, values) \
  table_entry<TableF32>(DType::k##id, PanelKind::kTableF32, values, pack_levels<Block##id, elements>)

constexpr Entry kEntries[] = {
    CODES(Q4_0, NibbleF16),
    CODES(Q4_1, NibbleF16Min),
    CODES(Q5_0, FiveF16),
    CODES(Q5_1, FiveF16Min),
    CODES(Q8_0, ByteF16),
    CODES(Q2_K, TwoSuper16),
    CODES(Q3_K, ThreeSuper16),
    CODES(Q4_K, NibbleSuper),
    CODES(Q5_K, FiveSuper),
    CODES(Q6_K, SixSuper16),
    TABLE(IQ4_NL, TableF16, kLevelsIQ4),
    TABLE(IQ4_XS, TableSuper, kLevelsIQ4),
    TABLE(MXFP4, TableExponent, kTwiceE2M1),
    LEVELS(NVFP4, 64, kTwiceE2M1),
    LEVELS(IQ1_S, 256, kEighths),
    LEVELS(IQ1_M, 256, kEighths),
    LEVELS(IQ2_XXS, 256, kMagnitudes2),
    LEVELS(IQ2_XS, 256, kMagnitudes2),
    LEVELS(IQ2_S, 256, kMagnitudes2),
    LEVELS(IQ3_XXS, 256, kMagnitudes3),
    LEVELS(IQ3_S, 256, kOdd),
    LEVELS(TQ1_0, 256, kFew),
    LEVELS(TQ2_0, 256, kFew),
    LEVELS(Q1_0, 128, kFew),
    LEVELS(Q2_0, 64, kFew),
};

#undef CODES
#undef TABLE
#undef LEVELS

const Entry* find(DType source) {
  for (const Entry& candidate : kEntries) {
    if (candidate.layout.source == source) return &candidate;
  }
  return nullptr;
}

}  // namespace

const PanelLayout* panel_layout(DType source) {
  const Entry* found = find(source);
  return found == nullptr ? nullptr : &found->layout;
}

std::size_t panel_bytes(const PanelLayout& layout, std::int64_t columns) {
  CHECK(columns >= 0 && columns % kBlockColumns == 0, "rows are whole blocks of 32 columns");
  const std::int64_t groups = (columns + layout.group_columns - 1) / layout.group_columns;
  return static_cast<std::size_t>(groups) * static_cast<std::size_t>(layout.group_bytes);
}

void pack_panel(const PanelLayout& layout, const std::byte* const rows[kPanelRows], std::int64_t columns,
                std::byte* out) {
  const Entry* source = find(layout.source);
  CHECK(source != nullptr, "a layout comes from panel_layout()");
  CHECK(columns % traits(layout.source).block_elements == 0, "rows are whole blocks of their type");
  std::memset(out, 0, panel_bytes(layout, columns));
  for (int lane = 0; lane < kPanelRows; ++lane) {
    if (rows[lane] == nullptr) continue;
    source->pack(layout, reinterpret_cast<const std::uint8_t*>(rows[lane]), columns, lane,
                 reinterpret_cast<std::uint8_t*>(out));
  }
}

std::size_t activation_bytes(std::int64_t columns) {
  CHECK(columns >= 0 && columns % kBlockColumns == 0, "rows are whole blocks of 32 columns");
  return static_cast<std::size_t>(activation_stride(columns)) * sizeof(ActivationBlock);
}

}  // namespace maestrale::kernels
