// Attention of a few queries of one sequence over its pages, one page after the other with a running maximum
// (online softmax, arXiv 1805.02867). A score is one chain over the head, an output one chain over the keys
// in order, so results depend neither on the tile nor on the vector set. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_bytes.h"
#include "kernels/attention_page.h"
#include "kernels/attention_tile.h"
#include "kernels/elementwise.h"

namespace maestrale::kernels {

template <class V, KvType kType>
[[gnu::always_inline]] inline typename V::F32 load_kv(const std::byte* base, std::size_t index) {
  if constexpr (kType == KvType::kF32) {
    return V::load(reinterpret_cast<const float*>(base) + index);
  } else if constexpr (kType == KvType::kF16) {
    return V::load_f16(base + index * 2);
  } else {
    return V::to_f32(V::load_i8x16(base + index));
  }
}

// scores[r][16 group …] of kRows queries against kGroups × 16 keys.
template <class V, KvType kType, int kRows, int kGroups>
void score_tile(const AttentionTile& tile, const std::byte* keys, int row, int group) {
  const int size = tile.layout.head_size;
  typename V::F32 sums[kRows][kGroups];
  const float* q[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    q[r] = tile.queries + static_cast<std::ptrdiff_t>(row + r) * size;
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) sums[r][g] = V::zero();
  }
  for (int d = 0; d < size; ++d) {
    typename V::F32 k[kGroups];
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) {
      const auto at = (static_cast<std::size_t>(group + g) * static_cast<std::size_t>(size) +
                       static_cast<std::size_t>(d)) *
                      kLanes;
      k[g] = load_kv<V, kType>(keys, at);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto value = V::broadcast(q[r][d]);
#pragma GCC unroll 16
      for (int g = 0; g < kGroups; ++g) sums[r][g] = V::fma(value, k[g], sums[r][g]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g)
      V::store(tile.scores + (row + r) * kPageTokens + (group + g) * kLanes, sums[r][g]);
  }
}

template <class V, KvType kType>
void score_page(const AttentionTile& tile, const std::byte* keys, KeyRange range, PageAhead<V>& ahead) {
  const int share = ahead.lines / 4;
  const int last = (range.end + kLanes - 1) / kLanes;
  int group = range.begin / kLanes;
  for (; group + 2 <= last; group += 2) {
    ahead.ask(share);
    int row = 0;
    for (; row + 8 <= tile.rows; row += 8) score_tile<V, kType, 8, 2>(tile, keys, row, group);
    for (; row + 4 <= tile.rows; row += 4) score_tile<V, kType, 4, 2>(tile, keys, row, group);
    for (; row < tile.rows; ++row) score_tile<V, kType, 1, 2>(tile, keys, row, group);
  }
  if (group < last) {
    for (int row = 0; row < tile.rows; ++row) score_tile<V, kType, 1, 1>(tile, keys, row, group);
  }
}

// Turns the page's scores into weights and updates the row's maximum and sums; returns what the row's output
// so far has to be multiplied by. sums: {maximum, unused, 16 partial sums}.
template <class V>
float soften_row(float* scores, KeyRange range, std::int64_t first, std::int64_t last, float* sums) {
  // Keys [first, last) of the page are visible to this row.
  const int stop = (range.end + kLanes - 1) / kLanes * kLanes;
  for (int key = range.begin / kLanes * kLanes; key < first && key < stop; ++key) scores[key] = kMasked;
  for (int key = last > 0 ? static_cast<int>(last) : 0; key < stop; ++key) scores[key] = kMasked;
  const int begin = range.begin / kLanes * kLanes;
  auto best = V::broadcast(sums[0]);
  for (int key = begin; key < range.end; key += kLanes) best = V::max(best, V::load(scores + key));
  const float maximum = V::largest(best);
  const auto top = V::broadcast(maximum);
  float correction[kLanes];
  V::store(correction, exponential<V>(V::broadcast(sums[0] - maximum)));
  auto total = V::mul(V::load(sums + 2), V::broadcast(correction[0]));
  for (int key = begin; key < range.end; key += kLanes) {
    const auto weight = exponential<V>(V::sub(V::load(scores + key), top));
    V::store(scores + key, weight);
    total = V::add(total, weight);
  }
  V::store(sums + 2, total);
  sums[0] = maximum;
  return correction[0];
}

// out[r][16 column …] += Σ weight · value over the page's keys, kRows rows × kVectors × 16 columns.
template <class V, KvType kType, int kRows, int kVectors>
void mix_tile(const AttentionTile& tile, const std::byte* part, KeyRange range, int row, int column) {
  const std::byte* values = part + tile.layout.values;
  typename V::F32 sums[kRows][kVectors];
  const auto width = static_cast<std::ptrdiff_t>(tile.layout.value_size);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = V::load(tile.out + (row + r) * width + column + v * kLanes);
  }
  for (int key = range.begin; key < range.end; ++key) {
    typename V::F32 value[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const int at = column + v * kLanes;
      value[v] = load_kv<V, kType>(values, static_cast<std::size_t>(key * width + at));
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto weight = V::broadcast(tile.scores[(row + r) * kPageTokens + key]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(weight, value[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      V::store(tile.out + (row + r) * width + column + v * kLanes, sums[r][v]);
  }
}

template <class V, KvType kType, int kVectors>
void mix_columns(const AttentionTile& tile, const std::byte* part, KeyRange range, int column) {
  int row = 0;
  for (; row + 4 <= tile.rows; row += 4) mix_tile<V, kType, 4, kVectors>(tile, part, range, row, column);
  for (; row < tile.rows; ++row) mix_tile<V, kType, 1, kVectors>(tile, part, range, row, column);
}

template <class V>
void scale_row(float* row, int width, float factor) {
  if (factor == 1.0f) return;
  if (factor == 0.0f) {  // what stands there came from masked keys alone
    for (int i = 0; i < width; i += kLanes) V::store(row + i, V::zero());
    return;
  }
  for (int i = 0; i < width; i += kLanes) V::store(row + i, V::mul(V::load(row + i), V::broadcast(factor)));
}

template <class V, KvType kType>
void attend_page(const AttentionTile& tile, std::int64_t page, KeyRange range, bool is_last) {
  const std::byte* part = tile.pages[page] + tile.offset;
  auto ahead = page_after<V>(tile, page, is_last);
  score_page<V, kType>(tile, part, range, ahead);
  const int share = ahead.lines / 2 / tile.rows;
  const int width = tile.layout.value_size;
  for (int row = 0; row < tile.rows; ++row) {
    adjust_scores<V>(tile, range, page, row);
    const std::int64_t end = tile.positions[row] + 1 - page * kPageTokens;
    const std::int64_t begin = first_visible(tile, tile.positions[row]) - page * kPageTokens;
    const float factor =
        soften_row<V>(tile.scores + row * kPageTokens, range, begin, end, tile.sums + row * (2 + kLanes));
    scale_row<V>(tile.out + static_cast<std::ptrdiff_t>(row) * width, width, factor);
    ahead.ask(share);
  }
  int column = 0;
  for (; column + 4 * kLanes <= width; column += 4 * kLanes) {
    ahead.ask(ahead.lines * 4 * kLanes / (width - column));
    mix_columns<V, kType, 4>(tile, part, range, column);
  }
  for (; column < width; column += kLanes) {
    ahead.ask(ahead.lines * kLanes / (width - column));
    mix_columns<V, kType, 1>(tile, part, range, column);
  }
}

template <class V, KvType kType>
void attend_tile(const AttentionTile& tile) {
  const int width = tile.layout.value_size;
  for (int row = 0; row < tile.rows; ++row) {
    float* sums = tile.sums + row * (2 + kLanes);
    sums[0] = kMasked;
    V::store(sums + 2, V::zero());
    if (tile.sinks != nullptr) {  // as a first key of weight 1 and no value
      sums[0] = tile.sinks[row];
      sums[2] = 1;
    }
    for (int i = 0; i < width; i += kLanes)
      V::store(tile.out + static_cast<std::ptrdiff_t>(row) * width + i, V::zero());
  }
  for_visible_pages(tile, [&](std::int64_t page, KeyRange range, bool is_last) {
    attend_page<V, kType>(tile, page, range, is_last);
  });
  for (int row = 0; row < tile.rows; ++row) {
    const auto total = V::broadcast(V::sum(V::load(tile.sums + row * (2 + kLanes) + 2)));
    float* out = tile.out + static_cast<std::ptrdiff_t>(row) * width;
    for (int i = 0; i < width; i += kLanes) V::store(out + i, V::div(V::load(out + i), total));
  }
}

template <class V>
void attend(const AttentionTile& tile) {
  switch (tile.type) {
    case KvType::kF32:
      return attend_tile<V, KvType::kF32>(tile);
    case KvType::kF16:
      return attend_tile<V, KvType::kF16>(tile);
    case KvType::kQ8:
      return attend_bytes<V>(tile);
  }
}

}  // namespace maestrale::kernels
