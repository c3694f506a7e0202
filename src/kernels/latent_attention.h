// Attention whose keys and values are rows shared by all heads, page by page with a running maximum as in
// attention.h. A score is a sum of 16 chains over the row in a fixed tree, an output one chain over the keys
// in order, so results depend neither on the tile nor on the vector set. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention.h"
#include "kernels/attention_bytes.h"
#include "kernels/latent_tile.h"

namespace maestrale::kernels {

// Slots of one page that a tile's queries look at, ascending.
struct SlotList {
  int count = 0;
  std::uint8_t slots[kPageTokens];
};

template <class V>
constexpr int kLatentRows =
    V::kTileRows >= 4 ? 4 : 2;  // queries × keys of a tile of sums that the registers hold

// 16 elements of a row from `element` on, as floats.
template <class V, KvType kType>
[[gnu::always_inline]] inline typename V::F32 load_row(const KvRowsLayout& layout, const std::byte* base,
                                                       int slot, int element) {
  const auto at = static_cast<std::size_t>(slot) * static_cast<std::size_t>(layout.size) +
                  static_cast<std::size_t>(element);
  const auto value = load_kv<V, kType>(base, at);
  if constexpr (kType == KvType::kQ8) {
    const auto* scales = reinterpret_cast<const float*>(base + layout.scales);
    return V::mul(value, V::broadcast(scales[slot * layout.scale_blocks + element / kKvScaleBlock]));
  } else {
    return value;
  }
}

// scores[row + r][slot] of kRows queries and kKeys slots.
template <class V, KvType kType, int kRows, int kKeys>
void score_slots(const LatentTile& tile, const std::byte* base, const std::uint8_t* slots, int row) {
  typename V::F32 sums[kRows][kKeys];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int k = 0; k < kKeys; ++k) sums[r][k] = V::zero();
  }
  const int size = tile.layout.size;
  const float* queries = tile.queries + static_cast<std::ptrdiff_t>(row) * size;
  for (int d = 0; d < size; d += kLanes) {
    typename V::F32 keys[kKeys];
#pragma GCC unroll 16
    for (int k = 0; k < kKeys; ++k) keys[k] = load_row<V, kType>(tile.layout, base, slots[k], d);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto query = V::load(queries + static_cast<std::ptrdiff_t>(r) * size + d);
#pragma GCC unroll 16
      for (int k = 0; k < kKeys; ++k) sums[r][k] = V::fma(query, keys[k], sums[r][k]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int k = 0; k < kKeys; ++k) tile.scores[(row + r) * kPageTokens + slots[k]] = V::sum(sums[r][k]);
  }
}

template <class V, KvType kType, int kKeys>
void score_rows(const LatentTile& tile, const std::byte* base, const std::uint8_t* slots) {
  int row = 0;
  for (; row + kLatentRows<V> <= tile.rows; row += kLatentRows<V>) {
    score_slots<V, kType, kLatentRows<V>, kKeys>(tile, base, slots, row);
  }
  for (; row < tile.rows; ++row) score_slots<V, kType, 1, kKeys>(tile, base, slots, row);
}

template <class V, KvType kType>
void score_list(const LatentTile& tile, const std::byte* base, const SlotList& list) {
  int first = 0;
  for (; first + kLatentRows<V> <= list.count; first += kLatentRows<V>) {
    score_rows<V, kType, kLatentRows<V>>(tile, base, list.slots + first);
  }
  for (; first < list.count; ++first) score_rows<V, kType, 1>(tile, base, list.slots + first);
}

// out[row + r][16 column …] += Σ weight · value over the listed slots.
template <class V, KvType kType, int kRows, int kVectors>
void mix_slots(const LatentTile& tile, const std::byte* base, const SlotList& list, int row, int column) {
  typename V::F32 sums[kRows][kVectors];
  float* out = tile.result.out + static_cast<std::ptrdiff_t>(row) * tile.value_size + column;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = V::load(out + static_cast<std::ptrdiff_t>(r) * tile.value_size + v * kLanes);
    }
  }
  for (int i = 0; i < list.count; ++i) {
    const int slot = list.slots[i];
    typename V::F32 value[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      value[v] = load_row<V, kType>(tile.layout, base, slot, column + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto weight = V::broadcast(tile.scores[(row + r) * kPageTokens + slot]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(weight, value[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      V::store(out + static_cast<std::ptrdiff_t>(r) * tile.value_size + v * kLanes, sums[r][v]);
    }
  }
}

template <class V, KvType kType, int kVectors>
void mix_rows(const LatentTile& tile, const std::byte* base, const SlotList& list, int column) {
  int row = 0;
  for (; row + kLatentRows<V> <= tile.rows; row += kLatentRows<V>) {
    mix_slots<V, kType, kLatentRows<V>, kVectors>(tile, base, list, row, column);
  }
  for (; row < tile.rows; ++row) mix_slots<V, kType, 1, kVectors>(tile, base, list, row, column);
}

template <class V, KvType kType>
void latent_page(const LatentTile& tile, std::int64_t page, const SlotList& list, PageAhead<V> ahead) {
  const std::byte* base = tile.pages[page] + tile.offset;
  const KeyRange range{0, list.slots[list.count - 1] + 1};
  const auto masked = V::broadcast(kMasked);
  for (int row = 0; row < tile.rows; ++row) {
    for (int slot = 0; slot < range.end; slot += kLanes)
      V::store(tile.scores + row * kPageTokens + slot, masked);
  }
  score_list<V, kType>(tile, base, list);
  for (int row = 0; row < tile.rows; ++row) {
    const std::int64_t end = tile.positions[row] + 1 - page * kPageTokens;
    const float factor =
        soften_row<V>(tile.scores + row * kPageTokens, range, 0, end, tile.sums + row * (2 + kLanes));
    scale_row<V>(tile.result.out + static_cast<std::ptrdiff_t>(row) * tile.value_size, tile.value_size,
                 factor);
  }
  int column = 0;
  const int share = ahead.lines * kLatentRows<V> * kLanes / tile.value_size + 1;
  for (; column + kLatentRows<V> * kLanes <= tile.value_size; column += kLatentRows<V> * kLanes) {
    ahead.ask(share);
    mix_rows<V, kType, kLatentRows<V>>(tile, base, list, column);
  }
  for (; column < tile.value_size; column += kLanes) mix_rows<V, kType, 1>(tile, base, list, column);
}

[[gnu::always_inline]] inline std::int64_t newest_position(const LatentTile& tile) {
  std::int64_t newest = 0;
  for (int row = 0; row < tile.rows; ++row)
    newest = tile.positions[row] > newest ? tile.positions[row] : newest;
  return newest;
}

// The page that comes after this one, where that is known.
template <class V>
[[gnu::always_inline]] inline PageAhead<V> page_after(const LatentTile& tile, std::int64_t page) {
  const bool is_last = page + 1 >= tile.end_page || page >= newest_position(tile) / kPageTokens;
  if (tile.selected != nullptr || is_last) return {};
  return {tile.pages[page + 1] + tile.offset, static_cast<int>(tile.layout.bytes / 64)};
}

// Calls body(page, list) for each page with something to see for the tile.
template <class V, class Body>
void for_pages(const LatentTile& tile, Body body) {
  SlotList list;
  if (tile.selected != nullptr) {
    for (std::int64_t i = 0; i < tile.selected_count;) {
      const std::int64_t page = tile.selected[i] / kPageTokens;
      list.count = 0;
      for (; i < tile.selected_count && tile.selected[i] / kPageTokens == page; ++i) {
        list.slots[list.count++] = static_cast<std::uint8_t>(tile.selected[i] % kPageTokens);
      }
      body(page, list);
    }
    return;
  }
  const std::int64_t newest = newest_position(tile);
  int first = tile.first_page == 0 ? tile.first_slot : 0;
  for (int slot = first; slot < kPageTokens; ++slot)
    list.slots[slot - first] = static_cast<std::uint8_t>(slot);
  for (std::int64_t page = tile.first_page; page < tile.end_page && page <= newest / kPageTokens; ++page) {
    const std::int64_t end = newest + 1 - page * kPageTokens;
    list.count = (end < kPageTokens ? static_cast<int>(end) : kPageTokens) - first;
    if (list.count > 0) body(page, list);
    if (first == 0) continue;
    first = 0;
    for (int slot = 0; slot < kPageTokens; ++slot) list.slots[slot] = static_cast<std::uint8_t>(slot);
  }
}

template <class V, KvType kType>
void latent_tile(const LatentTile& tile) {
  for (int row = 0; row < tile.rows; ++row) {
    tile.sums[row * (2 + kLanes)] = kMasked;
    V::store(tile.sums + row * (2 + kLanes) + 2, V::zero());
    scale_row<V>(tile.result.out + static_cast<std::ptrdiff_t>(row) * tile.value_size, tile.value_size, 0.0f);
  }
  for_pages<V>(tile, [&](std::int64_t page, const SlotList& list) {
    latent_page<V, kType>(tile, page, list, page_after<V>(tile, page));
  });
  for (int row = 0; row < tile.rows; ++row) {
    tile.result.states[2 * row] = tile.sums[row * (2 + kLanes)];
    tile.result.states[2 * row + 1] = V::sum(V::load(tile.sums + row * (2 + kLanes) + 2));
  }
}

// The same over an 8-bit cache, in integers as attention_bytes.h has them. Rows stand there as keys do; their
// first parts are brought into the order of values block by block, just before they are multiplied.
struct ArrangedBlock {
  alignas(64) std::byte codes[kPageTokens / 4][kKvScaleBlock][4];
  alignas(64) float scales[kPageTokens];
};

template <class V>
void arrange_block(const LatentTile& tile, const std::byte* base, int slots, int block, ArrangedBlock& out) {
  alignas(64) static constexpr std::uint8_t kTranspose[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                              2, 6, 10, 14, 3, 7, 11, 15};
  constexpr int kQuads = kKvScaleBlock / 4;
  const auto order = V::load_table(kTranspose);
  const auto sign = V::bytes(128);
  const int quads = tile.layout.size / 4;
  const int first = block * kQuads, count = quads - first < kQuads ? quads - first : kQuads;
  const auto* scales = reinterpret_cast<const float*>(base + tile.layout.scales);
  for (int group = 0; group * kLanes < slots; ++group) {
    const std::byte* codes = base + (static_cast<std::ptrdiff_t>(group) * quads + first) * 64;
    // A part of 16 bytes holds four keys.
    const auto turned = [&](int quad) __attribute__((always_inline)) {
      return V::lookup(V::add_u8(V::load_u8(codes + quad * 64), sign), order);
    };
    for (int quad = 0; quad < count; quad += 4) {
      V::store_parts(out.codes[4 * group][4 * quad], sizeof(out.codes[0]), turned(quad), turned(quad + 1),
                     turned(quad + 2), turned(quad + 3));
    }
    V::store(out.scales + group * kLanes,
             V::load(scales + (group * tile.layout.scale_blocks + block) * kLanes));
  }
}

[[gnu::always_inline]] inline AttentionTile byte_tile(const LatentTile& tile) {
  AttentionTile out;
  out.type = KvType::kQ8;
  out.layout.head_size = tile.layout.size;
  out.layout.value_size = tile.value_size;
  out.layout.key_quads = tile.layout.size / 4;
  out.layout.key_scales = tile.layout.scales;
  out.layout.scale_blocks = tile.layout.scale_blocks;
  out.rows = tile.rows;
  out.queries = tile.queries;
  out.positions = tile.positions;
  out.scores = tile.scores;
  out.codes = tile.codes;
  out.weight_codes = tile.weight_codes;
  out.out = tile.result.out;
  return out;
}

// Scores of slots that are not listed, which no row then sees.
[[gnu::always_inline]] inline void mask_unlisted(const LatentTile& tile, const SlotList& list) {
  for (int row = 0; row < tile.rows; ++row) {
    int at = 0;
    for (int slot = 0; slot < kPageTokens; ++slot) {
      if (at < list.count && list.slots[at] == slot) {
        ++at;
      } else {
        tile.scores[row * kPageTokens + slot] = kMasked;
      }
    }
  }
}

template <class V>
void attend_latent_bytes(const LatentTile& latent) {
  const AttentionTile tile = byte_tile(latent);
  ByteRows rows;
  begin_rows<V>(tile, rows);
  if (!latent.prepared) quantise_queries<V>(tile, rows);
  ArrangedBlock arranged = {};
  for_pages<V>(latent, [&](std::int64_t page, const SlotList& list) {
    const std::byte* base = latent.pages[page] + latent.offset;
    const KeyRange range{0, list.slots[list.count - 1] + 1};
    PageAhead<V> ahead = page_after<V>(latent, page);
    score_byte_page<V>(tile, rows, base, range, ahead);
    if (latent.selected != nullptr || list.slots[0] > 0) mask_unlisted(latent, list);
    for (int row = 0; row < latent.rows; ++row) {
      rows.range[row] = row_range(tile, page, row);
      if (rows.range[row].end > range.end) rows.range[row].end = range.end;
      weigh_row<V>(tile, rows, row);
    }
    join_page<V>(rows, latent.rows);
    const auto values_of = [&](int block) {
      arrange_block<V>(latent, base, range.end, block, arranged);
      return BlockValues{&arranged.codes[0][0][0], kKvScaleBlock, arranged.scales};
    };
    mix_byte_page<V>(tile, rows, values_of, ahead);
  });
  for (int row = 0; row < latent.rows; ++row) {
    latent.result.states[2 * row] = rows.maximum[row];
    latent.result.states[2 * row + 1] = rows.total[row];
  }
}

template <class V>
void join_latent(const LatentPart& part, int rows, int width, const LatentPart& into) {
  for (int row = 0; row < rows; ++row) {
    float* state = into.states + 2 * row;
    const float maximum = part.states[2 * row], total = part.states[2 * row + 1];
    if (maximum == kMasked) continue;
    const float joint = state[0] > maximum ? state[0] : maximum;
    const auto keep = exponential<V>(V::broadcast(state[0] - joint));
    const auto fresh = exponential<V>(V::broadcast(maximum - joint));
    float sums[kLanes];
    V::store(sums, V::fma(V::broadcast(total), fresh, V::mul(V::broadcast(state[1]), keep)));
    state[0] = joint;
    state[1] = sums[0];
    float* out = into.out + static_cast<std::ptrdiff_t>(row) * width;
    const float* more = part.out + static_cast<std::ptrdiff_t>(row) * width;
    for (int i = 0; i < width; i += kLanes)
      V::store(out + i, V::fma(V::load(more + i), fresh, V::mul(V::load(out + i), keep)));
  }
}

template <class V>
void finish_latent(const LatentPart& part, int rows, int width) {
  for (int row = 0; row < rows; ++row) {
    const auto total = V::broadcast(part.states[2 * row + 1]);
    float* out = part.out + static_cast<std::ptrdiff_t>(row) * width;
    for (int i = 0; i < width; i += kLanes) V::store(out + i, V::div(V::load(out + i), total));
  }
}

template <class V>
void attend_latent(const LatentTile& tile) {
  switch (tile.type) {
    case KvType::kF32:
      return latent_tile<V, KvType::kF32>(tile);
    case KvType::kF16:
      return latent_tile<V, KvType::kF16>(tile);
    case KvType::kQ8:
      return attend_latent_bytes<V>(tile);
  }
}

// out[slot] = Σ over the tile's queries h of weights[h] · max(query_h · key_slot, 0), in order, for one
// page's slots up to the (one) token's own position: how DeepSeek V3.2's indexer rates keys.
template <class V, KvType kType>
void rate_slots(const LatentTile& tile, std::int64_t page, const float* weights, float* out) {
  SlotList list;
  const std::int64_t end = tile.positions[0] + 1 - page * kPageTokens;
  list.count = end < kPageTokens ? static_cast<int>(end) : kPageTokens;
  for (int slot = 0; slot < list.count; ++slot) list.slots[slot] = static_cast<std::uint8_t>(slot);
  score_list<V, kType>(tile, tile.pages[page] + tile.offset, list);
  for (int slot = 0; slot < list.count; slot += kLanes) {
    auto sum = V::load(out + slot);
    for (int row = 0; row < tile.rows; ++row) {
      const auto score = V::max(V::load(tile.scores + row * kPageTokens + slot), V::zero());
      sum = V::fma(V::broadcast(weights[row]), score, sum);
    }
    V::store(out + slot, sum);
  }
}

template <class V>
void rate_page(const LatentTile& tile, std::int64_t page, const float* weights, float* out) {
  switch (tile.type) {
    case KvType::kF32:
      return rate_slots<V, KvType::kF32>(tile, page, weights, out);
    case KvType::kF16:
      return rate_slots<V, KvType::kF16>(tile, page, weights, out);
    case KvType::kQ8:
      return rate_slots<V, KvType::kQ8>(tile, page, weights, out);
  }
}

}  // namespace maestrale::kernels
