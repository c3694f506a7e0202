// LatentTile: one piece of latent attention (MLA) work, a few queries of one sequence. All heads share one
// row per token, which is key as a whole and value in its first part (arXiv 2405.04434). Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_layout.h"
#include "kernels/attention_tile.h"

namespace maestrale::kernels {

struct LatentTile {
  KvType type{};
  KvRowsLayout layout;
  int value_size = 0;                       // first elements of a row that are the value; a multiple of 16
  int rows = 0;                             // queries: (token, head) pairs, at most kMaxTileRows
  const float* queries = nullptr;           // [rows][layout.size], already scaled
  const std::int32_t* positions = nullptr;  // [rows]
  // Positions that the queries may see, ascending, none beyond the first query's own; null: all up to it.
  const std::int32_t* selected = nullptr;
  std::int64_t selected_count = 0;
  const std::byte* const* pages = nullptr;  // the sequence's pages
  std::size_t offset = 0;                   // of this layer's rows within a page
  std::byte* codes = nullptr;               // Q8: scratch for the queries, query_code_bytes()
  std::int8_t* weight_codes = nullptr;      // Q8: scratch [rows][kWeightCodes]
  float* scores = nullptr;                  // scratch [rows][kPageTokens]
  float* sums = nullptr;                    // scratch [rows][2 + kLanes]
  float* out = nullptr;                     // [rows][value_size]
};

}  // namespace maestrale::kernels
