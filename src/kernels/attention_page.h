// What all kernels of attention over pages share: which keys a query sees, and what is done to scores before
// the softmax. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_tile.h"
#include "kernels/elementwise.h"

namespace maestrale::kernels {

constexpr float kMasked = -3.0e38f;  // below every score; its weight is exactly 0

// Keys of one page that some row may see: [begin, end) within the page.
struct KeyRange {
  int begin = 0, end = 0;
};

// The first key that a query at `position` sees.
[[gnu::always_inline]] inline std::int64_t first_visible(const AttentionTile& tile, std::int64_t position) {
  if (tile.chunk > 0) return position - position % tile.chunk;
  return tile.window > 0 && position >= tile.window ? position + 1 - tile.window : 0;
}

// The bytes that a tile reads next, asked for piece by piece while it works on what it has: parts of a page
// are too short for the processor to guess them, and it can wait for few lines at a time.
template <class V>
struct PageAhead {
  const std::byte* at = nullptr;  // null: nothing follows
  int lines = 0;                  // still to be asked for

  [[gnu::always_inline]] void ask(int count) {
    if (at == nullptr) return;
    if (count > lines) count = lines;
    for (int i = 0; i < count; ++i) V::prefetch(at + 64 * i);
    at += 64 * count;
    lines -= count;
  }
};

template <class V>
[[gnu::always_inline]] inline PageAhead<V> page_after(const AttentionTile& tile, std::int64_t page,
                                                      bool is_last) {
  if (is_last) return {};
  return {tile.pages[page + 1] + tile.offset, static_cast<int>(tile.layout.bytes / 64)};
}

// Takes slope · distance off the scores of keys [range.begin, range.end), the first of the page at
// `first_key`.
template <class V>
void take_distances(float* scores, KeyRange range, std::int64_t first_key, float slope, std::int64_t centre) {
  for (int key = range.begin; key < range.end; ++key) {
    const std::int64_t away = first_key + key - centre;
    scores[key] -= slope * static_cast<float>(away < 0 ? -away : away);
  }
}

// What stands between a page's scores and their softmax for one row.
template <class V>
void adjust_scores(const AttentionTile& tile, KeyRange range, std::int64_t page, int row) {
  float* scores = tile.scores + row * kPageTokens;
  if (tile.soft_cap > 0) {
    const int first = range.begin / kLanes * kLanes;
    soft_cap<V>(scores + first, range.end - first, tile.soft_cap);
  }
  if (tile.slopes != nullptr)
    take_distances<V>(scores, range, page * kPageTokens, tile.slopes[row], tile.centres[row]);
}

// The pages that the tile's rows see together, and the keys of each: calls body(page, range, is_last).
template <class Body>
[[gnu::always_inline]] inline void for_visible_pages(const AttentionTile& tile, Body body) {
  std::int64_t newest = 0, oldest = tile.positions[0];
  for (int row = 0; row < tile.rows; ++row) {
    if (tile.positions[row] > newest) newest = tile.positions[row];
    if (tile.positions[row] < oldest) oldest = tile.positions[row];
  }
  const std::int64_t first_key = first_visible(tile, oldest);
  const std::int64_t last = newest / kPageTokens;
  for (std::int64_t page = first_key / kPageTokens; page <= last; ++page) {
    const std::int64_t begin = first_key - page * kPageTokens;
    const std::int64_t end = newest + 1 - page * kPageTokens;
    body(page,
         KeyRange{static_cast<int>(begin > 0 ? begin : 0),
                  static_cast<int>(end < kPageTokens ? end : kPageTokens)},
         page == last);
  }
}

}  // namespace maestrale::kernels
