// AttentionTile: one piece of attention work, a few queries of one sequence against one KV head.
// Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_layout.h"

namespace maestrale::kernels {

constexpr int kMaxTileRows = 32;

struct AttentionTile {
  KvType type{};
  KvHeadLayout layout;
  int rows = 0;                    // queries: tokens × heads that share the KV head, at most kMaxTileRows
  const float* queries = nullptr;  // [rows][head_size], already scaled
  const std::int32_t* positions = nullptr;  // [rows]
  std::int64_t window = 0;                  // keys visible to a query; 0: all
  std::int64_t chunk = 0;         // only keys of the query's own chunk of so many are visible; 0: all
  const float* sinks = nullptr;   // [rows] scores without a value that take part in the softmax; or null
  float soft_cap = 0;             // scores become cap · tanh(score / cap); 0: as they are
  const float* slopes = nullptr;  // [rows]: slope · |centre - key's position| is taken off a score; or null
  const std::int32_t* centres = nullptr;    // [rows], with slopes: the queries' own positions
  const std::byte* const* pages = nullptr;  // the sequence's pages
  std::size_t offset = 0;                   // of this layer and KV head within a page
  float* scores = nullptr;                  // scratch [rows][kPageTokens]
  float* sums = nullptr;                    // scratch [rows][2 + kLanes]
  float* out = nullptr;                     // [rows][layout.value_size]
};

}  // namespace maestrale::kernels
