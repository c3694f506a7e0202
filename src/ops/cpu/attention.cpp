// Writing keys and values into their pages, and attention over them.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/attention_tile.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/kv_codes.h"
#include "tensor/half.h"

namespace maestrale::ops {
namespace {

using kernels::kKvScaleBlock;
using kernels::kLanes;
using kernels::KvHeadLayout;

// One token's key: element d goes to [group][d][lane], a code to [group][d / 4][lane][d % 4].
void store_key(const float* key, KvType type, const KvHeadLayout& layout, int slot, std::byte* part) {
  const std::size_t size = static_cast<std::size_t>(layout.head_size);
  const auto group = static_cast<std::size_t>(slot / kLanes), lane = static_cast<std::size_t>(slot % kLanes);
  const std::size_t first = group * size * kLanes + lane;
  if (type == KvType::kF32) {
    auto* out = reinterpret_cast<float*>(part);
    for (std::size_t d = 0; d < size; ++d) out[first + d * kLanes] = key[d];
  } else if (type == KvType::kF16) {
    auto* out = reinterpret_cast<std::uint16_t*>(part);
    for (std::size_t d = 0; d < size; ++d) out[first + d * kLanes] = f32_to_f16(key[d]);
  } else {
    auto* out = reinterpret_cast<std::uint8_t*>(part);
    auto* scales = reinterpret_cast<float*>(part + layout.key_scales);
    for (int block = 0; block < layout.scale_blocks; ++block) {
      const int begin = block * kKvScaleBlock;
      const int n = std::min(kKvScaleBlock, layout.head_size - begin);
      std::int8_t codes[kKvScaleBlock];
      const int index = (slot / kLanes * layout.scale_blocks + block) * kLanes + slot % kLanes;
      scales[index] = quantise_kv_block(key + begin, n, codes);
      for (int i = 0; i < n; ++i) {
        const auto d = static_cast<std::size_t>(begin + i);
        const std::size_t quad = group * static_cast<std::size_t>(layout.key_quads) + d / 4;
        out[(quad * kLanes + lane) * 4 + d % 4] = static_cast<std::uint8_t>(codes[i] + 128);
      }
    }
  }
}

// One token's value: element d goes to [slot][d], a code to [slot / 4][d][slot % 4].
void store_value(const float* value, KvType type, const KvHeadLayout& layout, int slot, std::byte* part) {
  const auto size = static_cast<std::size_t>(layout.head_size);
  const std::size_t first = static_cast<std::size_t>(slot) * static_cast<std::size_t>(layout.value_size);
  if (type == KvType::kF32) {
    std::memcpy(reinterpret_cast<float*>(part + layout.values) + first, value, size * sizeof(float));
  } else if (type == KvType::kF16) {
    auto* out = reinterpret_cast<std::uint16_t*>(part + layout.values) + first;
    for (std::size_t d = 0; d < size; ++d) out[d] = f32_to_f16(value[d]);
  } else {
    auto* out = reinterpret_cast<std::int8_t*>(part + layout.values);
    auto* scales = reinterpret_cast<float*>(part + layout.value_scales) + slot;
    for (int block = 0; block < layout.scale_blocks; ++block) {
      const int begin = block * kKvScaleBlock;
      const int n = std::min(kKvScaleBlock, layout.head_size - begin);
      std::int8_t codes[kKvScaleBlock];
      scales[block * kPageTokens] = quantise_kv_block(value + begin, n, codes);
      for (int i = 0; i < n; ++i) out[(slot / 4 * layout.value_size + begin + i) * 4 + slot % 4] = codes[i];
    }
  }
}

// Of the sequence whose row this is.
std::int32_t last_position(const BatchRows& rows, std::int64_t row) {
  auto last = static_cast<std::size_t>(row);
  while (last + 1 < rows.sequences.size() && rows.sequences[last + 1] == rows.sequences[last]) ++last;
  return rows.positions[last];
}

}  // namespace

void CpuOps::store_kv(const float* keys, const float* values, int layer, const BatchRows& rows,
                      KvCache& cache) {
  const KvShape& shape = cache.shape();
  const KvHeadLayout layout = shape.head();
  const std::int64_t width = std::int64_t{shape.kv_heads} * shape.head_size;
  for_rows(static_cast<std::int64_t>(rows.positions.size()), [&](std::int64_t row) {
    const std::int32_t position = rows.positions[static_cast<std::size_t>(row)];
    const auto pages = cache.pages(rows.sequences[static_cast<std::size_t>(row)]);
    std::byte* page = pages[static_cast<std::size_t>(position / kPageTokens)];
    for (int head = 0; head < shape.kv_heads; ++head) {
      std::byte* part = page + cache.plane_offset(layer, head);
      const std::int64_t from = row * width + std::int64_t{head} * shape.head_size;
      store_key(keys + from, shape.type, layout, position % kPageTokens, part);
      store_value(values + from, shape.type, layout, position % kPageTokens, part);
    }
  });
}

void CpuOps::attend(const float* q, int layer, const BatchRows& rows, const KvCache& cache,
                    const AttentionOptions& options, const AttentionWork& work, int kv_head, float* scratch,
                    float* out) const {
  const KvShape& shape = cache.shape();
  kernels::AttentionTile tile;
  tile.type = shape.type;
  tile.layout = shape.head();
  const int group = options.heads / options.kv_heads;
  const auto size = static_cast<std::size_t>(options.head_size);
  const std::int64_t width = std::int64_t{options.heads} * options.head_size;
  tile.rows = work.tokens * group;
  std::int32_t positions[kernels::kMaxTileRows];
  float sinks[kernels::kMaxTileRows];
  float slopes[kernels::kMaxTileRows];
  std::int32_t centres[kernels::kMaxTileRows];
  const std::int32_t newest = options.both_ways ? last_position(rows, work.first_row) : 0;
  float* queries = scratch;
  for (int row = 0; row < tile.rows; ++row) {
    const std::int64_t token = work.first_row + row / group;
    const float* from = q + token * width + (std::int64_t{kv_head} * group + row % group) * options.head_size;
    const float scale = options.row_scale.empty()
                            ? options.scale
                            : options.scale * options.row_scale[static_cast<std::size_t>(token)];
    for (std::size_t d = 0; d < size; ++d)
      queries[static_cast<std::size_t>(row) * size + d] = from[d] * scale;
    if (options.sinks != nullptr) sinks[row] = options.sinks[kv_head * group + row % group];
    if (!options.distance_slopes.empty())
      slopes[row] = options.distance_slopes[static_cast<std::size_t>(kv_head * group + row % group)];
    centres[row] = rows.positions[static_cast<std::size_t>(token)];
    positions[row] = options.both_ways ? newest : centres[row];
  }
  tile.queries = queries;
  tile.positions = positions;
  tile.window = options.window;
  tile.chunk = options.chunk;
  tile.sinks = options.sinks == nullptr ? nullptr : sinks;
  tile.soft_cap = options.soft_cap;
  tile.slopes = options.distance_slopes.empty() ? nullptr : slopes;
  tile.centres = centres;
  tile.pages = cache.pages(rows.sequences[static_cast<std::size_t>(work.first_row)]).data();
  tile.offset = cache.plane_offset(layer, kv_head);
  std::byte* behind = kernels::place_scratch(
      tile, reinterpret_cast<std::byte*>(queries + kernels::kMaxTileRows * size), options.head_size);
  tile.out = reinterpret_cast<float*>(behind);
  table_.attend(tile);
  for (int row = 0; row < tile.rows; ++row) {
    const std::int64_t token = work.first_row + row / group;
    float* to = out + token * width + (std::int64_t{kv_head} * group + row % group) * options.head_size;
    std::copy_n(tile.out + row * tile.layout.value_size, size, to);
  }
}

void CpuOps::attention(const float* q, int layer, const BatchRows& rows, const KvCache& cache,
                       const AttentionOptions& options, float* out) {
  const int group = options.heads / options.kv_heads;
  CHECK(group <= kernels::kMaxTileRows && options.head_size <= kMaxHeadSize,
        "checked when the model is loaded");
  const int tile_tokens = kernels::kMaxTileRows / group;
  attention_work_.clear();
  const auto count = static_cast<std::int64_t>(rows.positions.size());
  for (std::int64_t row = 0; row < count;) {
    int tokens = 1;
    while (tokens < tile_tokens && row + tokens < count &&
           rows.sequences[static_cast<std::size_t>(row + tokens)] ==
               rows.sequences[static_cast<std::size_t>(row)]) {
      ++tokens;
    }
    attention_work_.push_back({row, tokens});
    row += tokens;
  }
  const auto tasks = static_cast<std::int64_t>(attention_work_.size()) * options.kv_heads;
  pool_.run(tasks, [&](std::int64_t task, int worker) {
    // Long rows first: a tile late in the prompt has the most keys.
    const auto index = static_cast<std::size_t>((tasks - 1 - task) / options.kv_heads);
    attend(q, layer, rows, cache, options, attention_work_[index], static_cast<int>(task % options.kv_heads),
           reinterpret_cast<float*>(worker_scratch(worker)), out);
  });
}

}  // namespace maestrale::ops
