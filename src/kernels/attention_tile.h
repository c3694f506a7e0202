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

// Scratch of one tile, whatever its type.
inline std::size_t tile_scratch_bytes(int head_size) {
  const std::size_t row = (kPageTokens + 2 + kLanes) * sizeof(float) + kWeightCodes;
  return kMaxTileRows * row + query_code_bytes(head_size);
}

// Gives a tile of either kind its scratch; returns what stands behind it. `memory` stands on 64 bytes.
template <class Tile>
std::byte* place_scratch(Tile& tile, std::byte* memory, int head_size) {
  tile.scores = reinterpret_cast<float*>(memory);
  tile.sums = tile.scores + kMaxTileRows * kPageTokens;
  tile.codes = reinterpret_cast<std::byte*>(tile.sums + kMaxTileRows * (2 + kLanes));
  tile.weight_codes = reinterpret_cast<std::int8_t*>(tile.codes + query_code_bytes(head_size));
  return memory + tile_scratch_bytes(head_size);
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
