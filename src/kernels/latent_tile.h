// LatentTile: one piece of latent attention (MLA) work, a few queries of one sequence. All heads share one
// row per token, which is key as a whole and value in its first part (arXiv 2405.04434). Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_layout.h"
#include "kernels/attention_tile.h"

namespace maestrale::kernels {

// Keys come in parts of so many pages that a long context has few: 8, and an eighth of what stands before
// where that is more. A part's result does not depend on the others, so they can be shared out among workers.
// The page at which the part after the one that begins at `page` begins.
constexpr std::int64_t next_part(std::int64_t page) { return page + (page < 64 ? 8 : page / 8); }

// What queries made of a part of their keys. Outputs are not divided by their rows' sums yet.
struct LatentPart {
  float* out = nullptr;  // [rows][value_size]
  float* states =
      nullptr;  // [rows][2]: largest score, sum of weights; kMasked: the row sees none of the keys
};

struct LatentTile {
  KvType type{};
  KvRowsLayout layout;
  int value_size = 0;                       // first elements of a row that are the value; a multiple of 16
  int rows = 0;                             // queries: (token, head) pairs, at most kMaxTileRows
  bool prepared = false;                    // `codes` hold these queries from the call before
  const float* queries = nullptr;           // [rows][layout.size], already scaled
  const std::int32_t* positions = nullptr;  // [rows]
  // Positions that the queries may see, ascending, none beyond the first query's own, whatever their page;
  // null: all up to it.
  const std::int32_t* selected = nullptr;
  std::int64_t selected_count = 0;
  const std::byte* const* pages = nullptr;    // the sequence's pages
  std::int64_t first_page = 0, end_page = 0;  // of the keys to look at
  int first_slot = 0;                         // of page 0: keys before it are not looked at
  std::size_t offset = 0;                     // of this layer's rows within a page
  std::byte* codes = nullptr;                 // Q8: scratch for the queries, query_code_bytes()
  std::int8_t* weight_codes = nullptr;        // Q8: scratch [rows][kWeightCodes]
  float* scores = nullptr;                    // scratch [rows][kPageTokens]
  float* sums = nullptr;                      // scratch [rows][2 + kLanes]
  LatentPart result;
};

}  // namespace maestrale::kernels
