// Attention over an 8-bit cache in integers. Scores: the queries are quantised as activations are, and a
// block of 32 head elements is one exact sum. Values: a page's weights, relative to the page's largest, are
// quantised together with the values' scales, and a page is one exact sum per output. A weight has 7 bits
// where the page is a small part of what the row has seen, and 14 where it is not. All of it depends on the
// row's own keys alone, so results depend neither on the tile nor on the vector set. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_page.h"
#include "kernels/quantised_dot.h"
#include "kernels/quantised_rows.h"

namespace maestrale::kernels {

constexpr int kCoarseWeight = 127;  // code of the page's largest weight
constexpr int kFineBits = 7;        // that a fine weight has beyond a coarse one
constexpr float kCoarseShare =
    1.0f / 128.0f;  // of a row's sum: up to there a page's largest weight is coarse
constexpr int kValueBlockVectors = kKvScaleBlock / kLanes;

// 2^x to about 2e-7 for x in [-126, 0]; below it stays at 2^-126. Interpolated at Chebyshev's points.
template <class V>
[[gnu::always_inline]] inline typename V::F32 power_of_two(typename V::F32 x) {
  const auto clamped = V::max(x, V::broadcast(-126.0f));
  const auto n = V::round_i32(clamped);
  const auto r = V::sub(clamped, V::to_f32(n));
  auto p = V::broadcast(1.3390863314e-3f);
  p = V::fma(p, r, V::broadcast(9.6760317683e-3f));
  p = V::fma(p, r, V::broadcast(5.5503569543e-2f));
  p = V::fma(p, r, V::broadcast(2.4022106826e-1f));
  p = V::fma(p, r, V::broadcast(6.9314718246e-1f));
  p = V::fma(p, r, V::broadcast(1.0f));
  return V::as_f32(V::iadd(V::as_i32(p), V::template shift_left<23>(n)));
}

// A page's keys as one row sees them: [begin, end) within the page, empty where it sees none.
[[gnu::always_inline]] inline KeyRange row_range(const AttentionTile& tile, std::int64_t page, int row) {
  const std::int64_t begin = first_visible(tile, tile.positions[row]) - page * kPageTokens;
  const std::int64_t end = tile.positions[row] + 1 - page * kPageTokens;
  KeyRange range{begin > 0 ? (begin < kPageTokens ? static_cast<int>(begin) : kPageTokens) : 0,
                 end > 0 ? (end < kPageTokens ? static_cast<int>(end) : kPageTokens) : 0};
  if (range.end < range.begin) range.end = range.begin;
  return range;
}

// The state of a tile's rows from page to page, and what one page adds to it. Arrays of whole vectors.
struct ByteRows {
  alignas(64) float maximum[kMaxTileRows];
  alignas(64) float total[kMaxTileRows];
  alignas(64) float page_maximum[kMaxTileRows];
  alignas(64) float page_total[kMaxTileRows];
  alignas(64) float keep[kMaxTileRows];   // factor of what the row has so far
  alignas(64) float fresh[kMaxTileRows];  // factor of the page's weights
  float scale[kMaxTileRows];              // of a block's sums
  KeyRange range[kMaxTileRows];
  int query_stride;  // blocks
};

template <class V>
void quantise_queries(const AttentionTile& tile, const ByteRows& rows) {
  const int size = tile.layout.head_size;
  const int whole = size / kBlockColumns * kBlockColumns;
  for (int row = 0; row < tile.rows; ++row) {
    const float* query = tile.queries + static_cast<std::ptrdiff_t>(row) * size;
    auto* blocks =
        reinterpret_cast<ActivationBlock*>(tile.codes) + static_cast<std::ptrdiff_t>(row) * rows.query_stride;
    quantise_row<V>(query, whole, reinterpret_cast<std::byte*>(blocks));
    if (whole == size) continue;
    float rest[kBlockColumns] = {};
    for (int i = whole; i < size; ++i) rest[i - whole] = query[i];
    quantise_row<V>(rest, kBlockColumns, reinterpret_cast<std::byte*>(blocks + whole / kBlockColumns));
  }
}

// scores[r][16 group …] of kRows queries against kGroups × 16 keys.
template <class V, int kRows, int kGroups>
void score_codes(const AttentionTile& tile, const ByteRows& rows, const std::byte* keys, int row, int group) {
  const int quads = tile.layout.key_quads;
  const float* scales = reinterpret_cast<const float*>(keys + tile.layout.key_scales);
  const ActivationBlock* queries[kRows];
  typename V::F32 sums[kRows][kGroups];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    queries[r] = reinterpret_cast<const ActivationBlock*>(tile.codes) +
                 static_cast<std::ptrdiff_t>(row + r) * rows.query_stride;
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) sums[r][g] = V::zero();
  }
  constexpr int kQuads = kKvScaleBlock / 4;
  for (int block = 0; block < tile.layout.scale_blocks; ++block) {
    typename V::Dot dots[kRows][kGroups];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int g = 0; g < kGroups; ++g)
        dots[r][g] = V::template dot_start<0>(dot_origin<V, 128, 0>(queries[r][block].offset));
    }
    const int count = quads - block * kQuads < kQuads ? quads - block * kQuads : kQuads;
    const auto step = [&](int s) __attribute__((always_inline)) {
      typename V::U8 codes[kGroups];
#pragma GCC unroll 16
      for (int g = 0; g < kGroups; ++g)
        codes[g] =
            V::load_u8(keys + (static_cast<std::ptrdiff_t>(group + g) * quads + block * kQuads + s) * 64);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const auto query = V::quad(queries[r][block].codes + 4 * s);
#pragma GCC unroll 16
        for (int g = 0; g < kGroups; ++g) V::template dot_step<0>(dots[r][g], s, true, codes[g], query);
      }
    };
    if (count == kQuads) {
#pragma GCC unroll 16
      for (int s = 0; s < kQuads; ++s) step(s);
    } else {
      for (int s = 0; s < count; ++s) step(s);
    }
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) {
      const auto scale = V::load(scales + ((group + g) * tile.layout.scale_blocks + block) * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        sums[r][g] = V::fma(V::to_f32(dots[r][g].total), V::mul(scale, V::broadcast(queries[r][block].scale)),
                            sums[r][g]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g)
      V::store(tile.scores + (row + r) * kPageTokens + (group + g) * kLanes, sums[r][g]);
  }
}

template <class V>
void score_byte_page(const AttentionTile& tile, const ByteRows& rows, const std::byte* keys, KeyRange range,
                     PageAhead<V>& ahead) {
  constexpr int kMany = V::kTileRows >= 8 ? 8 : 2;
  const int last = (range.end + kLanes - 1) / kLanes;
  int group = range.begin / kLanes;
  for (; group + 2 <= last; group += 2) {
    ahead.ask(2 * tile.layout.key_quads);
    int row = 0;
    for (; row + kMany <= tile.rows; row += kMany) score_codes<V, kMany, 2>(tile, rows, keys, row, group);
    if (kMany > 4 && row + 4 <= tile.rows) {
      score_codes<V, 4, 2>(tile, rows, keys, row, group);
      row += 4;
    }
    for (; row < tile.rows; ++row) score_codes<V, 1, 2>(tile, rows, keys, row, group);
  }
  if (group < last) {
    for (int row = 0; row < tile.rows; ++row) score_codes<V, 1, 1>(tile, rows, keys, row, group);
  }
}

// Turns a row's scores into weights relative to the largest of the page: 0 for keys that it does not see.
template <class V>
void weigh_row(const AttentionTile& tile, ByteRows& rows, int row) {
  float* scores = tile.scores + row * kPageTokens;
  const KeyRange range = rows.range[row];
  rows.page_maximum[row] = kMasked;
  rows.page_total[row] = 0;
  if (range.begin == range.end) {
    for (int key = 0; key < kPageTokens; key += kLanes) V::store(scores + key, V::zero());
    return;
  }
  for (int key = 0; key < range.begin; ++key) scores[key] = kMasked;
  for (int key = range.end; key < kPageTokens; ++key) scores[key] = kMasked;
  typename V::F32 x[kPageTokens / kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kPageTokens / kLanes; ++i) x[i] = V::load(scores + i * kLanes);
  const float largest = V::largest(V::max(V::max(x[0], x[1]), V::max(x[2], x[3])));
  constexpr float kLog2E = 1.44269504088896341f;
  const auto origin = V::broadcast(-largest * kLog2E);
#pragma GCC unroll 4
  for (int i = 0; i < kPageTokens / kLanes; ++i) {
    x[i] = power_of_two<V>(V::fma(x[i], V::broadcast(kLog2E), origin));
    V::store(scores + i * kLanes, x[i]);
  }
  rows.page_maximum[row] = largest;
  rows.page_total[row] = V::sum(V::add(V::add(x[0], x[1]), V::add(x[2], x[3])));
}

// Joins the page's maxima and sums with those so far, 16 rows at a time.
template <class V>
void join_page(ByteRows& rows, int count) {
  for (int row = 0; row < count; row += kLanes) {
    const auto old = V::load(rows.maximum + row), page = V::load(rows.page_maximum + row);
    const auto maximum = V::max(old, page);
    const auto keep = exponential<V>(V::sub(old, maximum));
    const auto fresh = exponential<V>(V::sub(page, maximum));
    V::store(rows.keep + row, keep);
    V::store(rows.fresh + row, fresh);
    V::store(rows.total + row,
             V::fma(V::load(rows.page_total + row), fresh, V::mul(V::load(rows.total + row), keep)));
    V::store(rows.maximum + row, maximum);
  }
}

// The scales of a block's values, in units of their largest among the keys of the range, which is returned;
// 0 for other keys. Times kCoarseWeight.
template <class V>
float relative_scales(const float* scales, KeyRange range, float* relative) {
  float seen[kPageTokens];
  if (range.end - range.begin < kPageTokens) {
    for (int key = 0; key < kPageTokens; ++key)
      seen[key] = key >= range.begin && key < range.end ? scales[key] : 0.0f;
    scales = seen;
  }
  typename V::F32 x[kPageTokens / kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kPageTokens / kLanes; ++i) x[i] = V::load(scales + i * kLanes);
  const float largest = V::largest(V::max(V::max(x[0], x[1]), V::max(x[2], x[3])));
  const auto factor = V::broadcast(largest > 0 ? static_cast<float>(kCoarseWeight) / largest : 0.0f);
#pragma GCC unroll 4
  for (int i = 0; i < kPageTokens / kLanes; ++i) V::store(relative + i * kLanes, V::mul(x[i], factor));
  return largest;
}

// Whether the page is more than a small part of the row's sum.
[[gnu::always_inline]] inline bool is_fine(const ByteRows& rows, int row) {
  return rows.fresh[row] > rows.total[row] * kCoarseShare;
}

// A row's weights for one block of values to codes: upper halves, and lower halves unless kFine is kNone,
// which are 0 where it is kZero.
enum class LowerHalf : std::uint8_t { kNone, kZero, kFine };
template <class V, LowerHalf kLower>
void quantise_weights(const float* weights, const float* relative, std::int8_t* codes) {
#pragma GCC unroll 4
  for (int key = 0; key < kPageTokens; key += kLanes) {
    const auto x = V::mul(V::load(weights + key), V::load(relative + key));
    if constexpr (kLower == LowerHalf::kFine) {
      const auto code = V::round_i32(V::mul(x, V::broadcast(static_cast<float>(1 << kFineBits))));
      V::store_i8x16(codes + key, V::template shift_right<kFineBits>(code));
      V::store_i8x16(codes + kPageTokens + key, V::iand(code, V::ibroadcast((1 << kFineBits) - 1)));
    } else {
      V::store_i8x16(codes + key, V::round_i32(x));
      if constexpr (kLower == LowerHalf::kZero) V::store_i8x16(codes + kPageTokens + key, V::izero());
    }
  }
}

// The values of one block of columns: codes [kPageTokens / 4][width][4] from the block's first column on, and
// a scale for each key.
struct BlockValues {
  const std::byte* codes;
  std::ptrdiff_t width;
  const float* scales;
};

// out[r][16 column …] = keep · out + scale · Σ code · value over the page, kRows rows × kVectors × 16
// columns of one block.
template <class V, int kRows, int kVectors>
void mix_codes(const AttentionTile& tile, const ByteRows& rows, const BlockValues& values, int row,
               int column, bool fine) {
  const auto width = static_cast<std::ptrdiff_t>(tile.layout.value_size);
  const std::int8_t* codes = tile.weight_codes + static_cast<std::ptrdiff_t>(row) * kWeightCodes;
  typename V::I32 sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[r][v] = V::izero();
  }
  const auto pass = [&](const std::int8_t* x) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int s = 0; s < kPageTokens / 4; ++s) {
      typename V::U8 value[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v)
        value[v] = V::load_u8(values.codes + (s * values.width + v * kLanes) * 4);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const auto weight = V::quad(x + r * kWeightCodes + 4 * s);
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) sums[r][v] = V::dot_weights(sums[r][v], weight, value[v]);
      }
    }
  };
  pass(codes);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[r][v] = V::template shift_left<kFineBits>(sums[r][v]);
  }
  if (fine) pass(codes + kPageTokens);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const auto keep = V::broadcast(rows.keep[row + r]), scale = V::broadcast(rows.scale[row + r]);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      float* out = tile.out + (row + r) * width + column + v * kLanes;
      V::store(out, V::fma(V::to_f32(sums[r][v]), scale, V::mul(V::load(out), keep)));
    }
  }
}

template <class V, int kVectors>
void mix_block(const AttentionTile& tile, const ByteRows& rows, const BlockValues& values, int column,
               bool fine) {
  constexpr int kMany = V::kTileRows >= 8 ? 8 : 2;
  int row = 0;
  for (; row + kMany <= tile.rows; row += kMany)
    mix_codes<V, kMany, kVectors>(tile, rows, values, row, column, fine);
  if (kMany > 4 && row + 4 <= tile.rows) {
    mix_codes<V, 4, kVectors>(tile, rows, values, row, column, fine);
    row += 4;
  }
  for (; row < tile.rows; ++row) mix_codes<V, 1, kVectors>(tile, rows, values, row, column, fine);
}

// `values_of(block)` gives each block's values when its turn comes.
template <class V, class ValuesOf>
void mix_byte_page(const AttentionTile& tile, ByteRows& rows, ValuesOf values_of, PageAhead<V>& ahead) {
  const int width = tile.layout.value_size;
  const int blocks = (width + kKvScaleBlock - 1) / kKvScaleBlock;
  bool fine = false;
  for (int row = 0; row < tile.rows; ++row) fine |= is_fine(rows, row);
  for (int block = 0; block < blocks; ++block) {
    const BlockValues values = values_of(block);
    alignas(64) float relative[kPageTokens];
    float largest = 0;
    KeyRange range{-1, -1};
    for (int row = 0; row < tile.rows; ++row) {
      if (range.begin != rows.range[row].begin || range.end != rows.range[row].end) {
        range = rows.range[row];
        largest = relative_scales<V>(values.scales, range, relative);
      }
      const float* weights = tile.scores + row * kPageTokens;
      std::int8_t* codes = tile.weight_codes + static_cast<std::ptrdiff_t>(row) * kWeightCodes;
      constexpr float kUnit = 1.0f / (kCoarseWeight << kFineBits);
      rows.scale[row] = rows.fresh[row] * largest * kUnit;
      if (!fine) {
        quantise_weights<V, LowerHalf::kNone>(weights, relative, codes);
      } else if (is_fine(rows, row)) {
        quantise_weights<V, LowerHalf::kFine>(weights, relative, codes);
      } else {
        quantise_weights<V, LowerHalf::kZero>(weights, relative, codes);
      }
    }
    const int column = block * kKvScaleBlock;
    ahead.ask(ahead.lines / (blocks - block));
    if (column + kKvScaleBlock <= width) {
      mix_block<V, kValueBlockVectors>(tile, rows, values, column, fine);
    } else {
      mix_block<V, 1>(tile, rows, values, column, fine);
    }
  }
}

template <class V>
void begin_rows(const AttentionTile& tile, ByteRows& rows) {
  const int size = tile.layout.head_size;
  rows.query_stride = activation_stride((size + kBlockColumns - 1) / kBlockColumns * kBlockColumns);
  for (int row = 0; row < kMaxTileRows; ++row) {
    rows.maximum[row] = rows.page_maximum[row] = kMasked;
    rows.total[row] = rows.page_total[row] = 0;
  }
  for (int row = 0; row < tile.rows; ++row) {
    if (tile.sinks != nullptr) {  // as a first key of weight 1 and no value
      rows.maximum[row] = tile.sinks[row];
      rows.total[row] = 1;
    }
    float* out = tile.out + static_cast<std::ptrdiff_t>(row) * tile.layout.value_size;
    for (int i = 0; i < tile.layout.value_size; i += kLanes) V::store(out + i, V::zero());
  }
}

template <class V>
void finish_rows(const AttentionTile& tile, const ByteRows& rows) {
  for (int row = 0; row < tile.rows; ++row) {
    const auto total = V::broadcast(rows.total[row]);
    float* out = tile.out + static_cast<std::ptrdiff_t>(row) * tile.layout.value_size;
    for (int i = 0; i < tile.layout.value_size; i += kLanes)
      V::store(out + i, V::div(V::load(out + i), total));
  }
}

template <class V>
void attend_bytes(const AttentionTile& tile) {
  ByteRows rows;
  begin_rows<V>(tile, rows);
  quantise_queries<V>(tile, rows);
  for_visible_pages(tile, [&](std::int64_t page, KeyRange range, bool is_last) {
    const std::byte* part = tile.pages[page] + tile.offset;
    auto ahead = page_after<V>(tile, page, is_last);
    const int share = ahead.lines / 6 / tile.rows;
    score_byte_page<V>(tile, rows, part, range, ahead);
    for (int row = 0; row < tile.rows; ++row) {
      adjust_scores<V>(tile, range, page, row);
      rows.range[row] = row_range(tile, page, row);
      weigh_row<V>(tile, rows, row);
      ahead.ask(share);
    }
    join_page<V>(rows, tile.rows);
    const auto* scales = reinterpret_cast<const float*>(part + tile.layout.value_scales);
    const auto values_of = [&](int block) {
      return BlockValues{part + tile.layout.values + std::ptrdiff_t{block} * kKvScaleBlock * 4,
                         tile.layout.value_size, scales + block * kPageTokens};
    };
    mix_byte_page<V>(tile, rows, values_of, ahead);
  });
  finish_rows<V>(tile, rows);
}

}  // namespace maestrale::kernels
