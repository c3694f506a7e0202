// Latent attention (MLA): rows in their pages, attention over them, and the choice of keys by an indexer.
#include <algorithm>
#include <limits>

#include "base/check.h"
#include "kernels/latent_tile.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/kv_codes.h"
#include "tensor/half.h"

namespace maestrale::ops {
namespace {

using kernels::kLanes;
using kernels::kMaxTileRows;
using kernels::KvRowsLayout;

void store_row(const float* x, KvType type, const KvRowsLayout& layout, int slot, std::byte* page) {
  const auto size = static_cast<std::size_t>(layout.size);
  const std::size_t first = static_cast<std::size_t>(slot) * size;
  if (type == KvType::kF32) {
    std::copy_n(x, size, reinterpret_cast<float*>(page) + first);
  } else if (type == KvType::kF16) {
    auto* out = reinterpret_cast<std::uint16_t*>(page) + first;
    for (std::size_t i = 0; i < size; ++i) out[i] = f32_to_f16(x[i]);
  } else {
    auto* codes = reinterpret_cast<std::int8_t*>(page) + first;
    auto* scales = reinterpret_cast<float*>(page + layout.scales) + slot * layout.scale_blocks;
    for (int block = 0; block < layout.scale_blocks; ++block) {
      const int begin = block * kernels::kKvScaleBlock;
      const int n = std::min(kernels::kKvScaleBlock, layout.size - begin);
      scales[block] = quantise_kv_block(x + begin, n, codes + begin);
    }
  }
}

// Eight-bit rows of latent attention stand as keys do (kv_cache.h): four elements of sixteen slots together.
void store_latent_codes(const float* x, const KvRowsLayout& layout, int slot, std::byte* page) {
  const int group = slot / kLanes, lane = slot % kLanes, quads = layout.size / 4;
  auto* codes = reinterpret_cast<std::uint8_t*>(page) + (group * quads * kLanes + lane) * 4;
  auto* scales = reinterpret_cast<float*>(page + layout.scales) + group * layout.scale_blocks * kLanes + lane;
  for (int block = 0; block < layout.scale_blocks; ++block) {
    std::int8_t made[kernels::kKvScaleBlock];
    const int begin = block * kernels::kKvScaleBlock;
    const int n = std::min(kernels::kKvScaleBlock, layout.size - begin);
    scales[block * kLanes] = quantise_kv_block(x + begin, n, made);
    for (int i = 0; i < n; ++i) {
      const int element = begin + i;
      codes[(element / 4 * kLanes) * 4 + element % 4] = static_cast<std::uint8_t>(made[i] + 128);
    }
  }
}

struct Rated {
  float rating;
  std::int32_t position;
};

bool better(const Rated& a, const Rated& b) {
  return a.rating != b.rating ? a.rating > b.rating : a.position < b.position;
}

// The best `most` of what is offered, in bounded memory: `room` holds 2 · most.
class Best {
 public:
  Best(Rated* room, std::int64_t most) : room_(room), most_(most) {}
  void offer(float rating, std::int64_t position) {
    const bool number = rating == rating;  // what is no number comes last
    room_[count_++] = {number ? rating : -std::numeric_limits<float>::infinity(),
                       static_cast<std::int32_t>(position)};
    if (count_ == 2 * most_) keep_best();
  }
  std::span<Rated> finish() {
    if (count_ > most_) keep_best();
    return {room_, static_cast<std::size_t>(count_)};
  }

 private:
  void keep_best() {
    std::nth_element(room_, room_ + most_, room_ + count_, better);
    count_ = most_;
  }
  Rated* room_;
  std::int64_t most_, count_ = 0;
};

}  // namespace

void CpuOps::store_rows(const float* x, std::int64_t stride, KvRows which, int layer, const BatchRows& rows,
                        KvCache& cache) {
  const KvShape& shape = cache.shape();
  const KvRowsLayout layout = shape.rows(which);
  const std::size_t offset = cache.plane_offset(layer, 0) + shape.rows_offset(which);
  for_rows(static_cast<std::int64_t>(rows.positions.size()), [&](std::int64_t row) {
    const std::int32_t position = rows.positions[static_cast<std::size_t>(row)];
    const auto pages = cache.pages(rows.sequences[static_cast<std::size_t>(row)]);
    std::byte* page = pages[static_cast<std::size_t>(position / kPageTokens)] + offset;
    if (shape.type == KvType::kQ8 && which == KvRows::kLatent)
      return store_latent_codes(x + row * stride, layout, position % kPageTokens, page);
    store_row(x + row * stride, shape.type, layout, position % kPageTokens, page);
  });
}

// Queries [first, first + count) of the flattened (row, head) pairs, all of one sequence.
void CpuOps::attend_rows(const LatentQueries& queries, int layer, const BatchRows& rows, const KvCache& cache,
                         const LatentOptions& options, const KeySelection* selection, std::int64_t first,
                         int count, float* scratch, float* out) const {
  const KvShape& shape = cache.shape();
  const int size = options.latent_size + options.rotated_size;
  kernels::LatentTile tile;
  tile.type = shape.type;
  tile.layout = shape.rows(KvRows::kLatent);
  tile.value_size = options.latent_size;
  tile.rows = count;
  std::int32_t positions[kMaxTileRows];
  for (int i = 0; i < count; ++i) {
    const std::int64_t row = (first + i) / options.heads;
    const std::int64_t head = (first + i) % options.heads;
    const float scale =
        options.scale * (queries.row_scale.empty() ? 1.0f : queries.row_scale[static_cast<std::size_t>(row)]);
    const float* latent = queries.latent + (first + i) * options.latent_size;
    const float* rotated =
        queries.rotated + row * queries.rotated_row_stride + head * queries.rotated_head_stride;
    float* query = scratch + std::int64_t{i} * size;
    for (int d = 0; d < options.latent_size; ++d) query[d] = latent[d] * scale;
    for (int d = 0; d < options.rotated_size; ++d) query[options.latent_size + d] = rotated[d] * scale;
    positions[i] = rows.positions[static_cast<std::size_t>(row)];
  }
  const auto row = static_cast<std::size_t>(first / options.heads);
  if (selection != nullptr && selection->counts[row] > 0) {
    tile.selected = selection->positions.data() + static_cast<std::int64_t>(row) * selection->most;
    tile.selected_count = selection->counts[row];
  }
  tile.queries = scratch;
  tile.positions = positions;
  tile.pages = cache.pages(rows.sequences[row]).data();
  tile.offset = cache.plane_offset(layer, 0) + shape.rows_offset(KvRows::kLatent);
  kernels::place_scratch(tile, reinterpret_cast<std::byte*>(scratch + std::int64_t{kMaxTileRows} * size),
                         static_cast<int>(size));
  tile.out = out + first * options.latent_size;
  table_.attend_latent(tile);
}

void CpuOps::latent_attention(const LatentQueries& queries, int layer, const BatchRows& rows,
                              const KvCache& cache, const LatentOptions& options,
                              const KeySelection* selection, float* out) {
  CHECK(options.latent_size + options.rotated_size <= kMaxHeadSize, "checked when the model is loaded");
  const auto count = static_cast<std::int64_t>(rows.positions.size());
  // Wide tiles read each row of the cache for many queries; narrow ones share a single token's heads out.
  constexpr std::int64_t kNarrowest = 8;
  const std::int64_t share = count * options.heads / pool_.size() / kNarrowest * kNarrowest;
  const auto widest = std::clamp<std::int64_t>(share, kNarrowest, kMaxTileRows);
  latent_work_.clear();
  for (std::int64_t row = 0; row < count;) {
    std::int64_t end = row + 1;
    while (selection == nullptr && end < count &&
           rows.sequences[static_cast<std::size_t>(end)] == rows.sequences[static_cast<std::size_t>(row)]) {
      ++end;
    }
    for (std::int64_t first = row * options.heads; first < end * options.heads; first += widest) {
      latent_work_.push_back({first, static_cast<int>(std::min(widest, end * options.heads - first))});
    }
    row = end;
  }
  const auto tasks = static_cast<std::int64_t>(latent_work_.size());
  pool_.run(tasks, [&](std::int64_t task, int worker) {
    // Long rows first: a tile late in the prompt has the most keys.
    const LatentWork& work = latent_work_[static_cast<std::size_t>(tasks - 1 - task)];
    attend_rows(queries, layer, rows, cache, options, selection, work.first, work.count,
                reinterpret_cast<float*>(worker_scratch(worker)), out);
  });
}

void CpuOps::select_for_row(const float* q, const float* weights, int layer, const BatchRows& rows,
                            const KvCache& cache, const IndexerOptions& options, std::int64_t row,
                            const KeySelection& selection, std::byte* scratch) const {
  const auto index = static_cast<std::size_t>(row);
  const std::int32_t position = rows.positions[index];
  selection.counts[index] = 0;
  if (position < selection.most) return;  // there are not more keys than may be kept
  const KvShape& shape = cache.shape();
  kernels::LatentTile tile;
  tile.type = shape.type;
  tile.layout = shape.rows(KvRows::kIndex);
  tile.positions = &position;
  tile.pages = cache.pages(rows.sequences[index]).data();
  tile.offset = cache.plane_offset(layer, 0) + shape.rows_offset(KvRows::kIndex);
  tile.scores = reinterpret_cast<float*>(scratch);
  float* ratings = tile.scores + kMaxTileRows * kPageTokens;
  Best best(reinterpret_cast<Rated*>(ratings + kPageTokens), selection.most);
  for (std::int64_t page = 0; page <= position / kPageTokens; ++page) {
    std::fill_n(ratings, kPageTokens, 0.0f);
    for (int head = 0; head < options.heads; head += tile.rows) {
      tile.rows = std::min(options.heads - head, kMaxTileRows);
      tile.queries = q + (row * options.heads + head) * options.head_size;
      table_.rate_page(tile, page, weights + row * options.heads + head, ratings);
    }
    const std::int64_t first = page * kPageTokens;
    const std::int64_t end = std::min<std::int64_t>(first + kPageTokens, position + 1);
    for (std::int64_t key = first; key < end; ++key) best.offer(ratings[key - first], key);
  }
  const std::span<Rated> kept = best.finish();
  std::int32_t* out = selection.positions.data() + row * selection.most;
  for (std::size_t i = 0; i < kept.size(); ++i) out[i] = kept[i].position;
  std::sort(out, out + kept.size());
  selection.counts[index] = static_cast<std::int32_t>(kept.size());
}

void CpuOps::select_keys(const float* q, const float* weights, int layer, const BatchRows& rows,
                         const KvCache& cache, const IndexerOptions& options, const KeySelection& selection) {
  CHECK(selection.most <= kMaxSelected, "checked when the model is loaded");
  const auto count = static_cast<std::int64_t>(rows.positions.size());
  pool_.run(count, [&](std::int64_t task, int worker) {
    select_for_row(q, weights, layer, rows, cache, options, count - 1 - task, selection,
                   worker_scratch(worker));
  });
}

}  // namespace maestrale::ops
