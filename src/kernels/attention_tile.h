// AttentionTile: one piece of attention work, a few queries of one sequence against one KV head.
// Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/activation_block.h"
#include "kernels/attention_layout.h"

namespace maestrale::kernels {

constexpr int kMaxTileRows = 32;
constexpr int kWeightCodes = 2 * kPageTokens;  // bytes of a row's quantised weights

// Bytes that the queries of one tile take when they are quantised.
inline std::size_t query_code_bytes(int head_size) {
  const int columns = (head_size + kBlockColumns - 1) / kBlockColumns * kBlockColumns;
  return static_cast<std::size_t>(kMaxTileRows) * static_cast<std::size_t>(activation_stride(columns)) *
         sizeof(ActivationBlock);
}

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
  std::byte* codes = nullptr;               // Q8: scratch for the queries, query_code_bytes()
  std::int8_t* weight_codes = nullptr;      // Q8: scratch [rows][kWeightCodes]
  float* sums = nullptr;                    // scratch [rows][2 + kLanes]
  float* out = nullptr;                     // [rows][layout.value_size]
};

}  // namespace maestrale::kernels
