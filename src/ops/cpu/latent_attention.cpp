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
using kernels::LatentPart;

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

// A run's queries as a tile, without the pages to look at and a place for the result. Returns what is free of
// the scratch.
float* CpuOps::latent_tile(const LatentCall& call, const LatentRun& run, float* scratch,
                           kernels::LatentTile& tile) const {
  const auto& [queries, layer, rows, cache, options, selection] = call;
  const KvShape& shape = cache.shape();
  const int size = options.latent_size + options.rotated_size;
  auto* positions = reinterpret_cast<std::int32_t*>(scratch + std::int64_t{kMaxTileRows} * size);
  for (int i = 0; i < run.count; ++i) {
    const std::int64_t row = (run.first + i) / options.heads;
    const std::int64_t head = (run.first + i) % options.heads;
    const float scale =
        options.scale * (queries.row_scale.empty() ? 1.0f : queries.row_scale[static_cast<std::size_t>(row)]);
    const float* latent = queries.latent + (run.first + i) * options.latent_size;
    const float* rotated =
        queries.rotated + row * queries.rotated_row_stride + head * queries.rotated_head_stride;
    float* query = scratch + std::int64_t{i} * size;
    for (int d = 0; d < options.latent_size; ++d) query[d] = latent[d] * scale;
    for (int d = 0; d < options.rotated_size; ++d) query[options.latent_size + d] = rotated[d] * scale;
    positions[i] = rows.positions[static_cast<std::size_t>(row)];
  }
  const auto row = static_cast<std::size_t>(run.first / options.heads);
  if (selection != nullptr && selection->counts[row] > 0) {
    tile.selected = selection->positions.data() + static_cast<std::int64_t>(row) * selection->most;
    tile.selected_count = selection->counts[row];
  }
  tile.type = shape.type;
  tile.layout = shape.rows(KvRows::kLatent);
  tile.first_slot = options.first_key;
  tile.value_size = options.latent_size;
  tile.rows = run.count;
  tile.queries = scratch;
  tile.positions = positions;
  tile.pages = cache.pages(rows.sequences[row]).data();
  tile.offset = cache.plane_offset(layer, 0) + shape.rows_offset(KvRows::kLatent);
  auto* rest = kernels::place_scratch(tile, reinterpret_cast<std::byte*>(positions + kMaxTileRows), size);
  return reinterpret_cast<float*>(rest);
}

// A run with all its keys, one part after the other.
void CpuOps::attend_run(const LatentCall& call, const LatentRun& run, float* scratch, float* out) const {
  const int width = call.options.latent_size;
  kernels::LatentTile tile;
  float* rest = latent_tile(call, run, scratch, tile);
  const LatentPart whole{out + run.first * width, rest};
  const LatentPart part{rest + 4 * kMaxTileRows, rest + 2 * kMaxTileRows};
  tile.result = whole;
  tile.end_page = kernels::next_part(0);
  table_.attend_latent(tile);
  tile.prepared = true;
  tile.result = part;
  while (tile.selected == nullptr && tile.end_page < run.pages) {
    tile.first_page = tile.end_page;
    tile.end_page = kernels::next_part(tile.first_page);
    table_.attend_latent(tile);
    table_.join_latent(part, run.count, width, whole);
  }
  table_.finish_latent(whole, run.count, width);
}

LatentPart CpuOps::latent_part(std::int64_t place, int width) {
  float* states = latent_parts_.data() + latent_work_.pairs() * width;
  return {latent_parts_.data() + place * width, states + 2 * place};
}

// The parts of all runs each for itself, then joined in their order.
void CpuOps::attend_pieces(const LatentCall& call, float* out) {
  const int width = call.options.latent_size;
  const auto needed = static_cast<std::size_t>(latent_work_.pairs() * (width + 2));
  if (latent_parts_.size() < needed) latent_parts_.resize(needed);
  const auto& pieces = latent_work_.pieces();
  pool_.run(std::ssize(pieces), [&](std::int64_t task, int worker) {
    const LatentPiece& piece = pieces[static_cast<std::size_t>(task)];
    const LatentRun& run = latent_work_.runs()[static_cast<std::size_t>(piece.run)];
    kernels::LatentTile tile;
    latent_tile(call, run, reinterpret_cast<float*>(worker_scratch(worker)), tile);
    const std::int64_t place = latent_work_.place(piece.run);
    for (int part = 0; part < piece.end; ++part, tile.first_page = tile.end_page) {
      tile.end_page = kernels::next_part(tile.first_page);
      if (part < piece.first) continue;
      tile.result = latent_part(place + part * run.count, width);
      table_.attend_latent(tile);
      tile.prepared = true;
    }
  });
  pool_.run(std::ssize(latent_work_.runs()), [&](std::int64_t index, int) {
    const LatentRun& run = latent_work_.runs()[static_cast<std::size_t>(index)];
    const std::int64_t place = latent_work_.place(index);
    const LatentPart first = latent_part(place, width);
    for (int part = 1; part < run.parts; ++part)
      table_.join_latent(latent_part(place + part * run.count, width), run.count, width, first);
    table_.finish_latent(first, run.count, width);
    std::copy_n(first.out, std::int64_t{run.count} * width, out + run.first * width);
  });
}

void CpuOps::latent_attention(const LatentQueries& queries, int layer, const BatchRows& rows,
                              const KvCache& cache, const LatentOptions& options,
                              const KeySelection* selection, float* out) {
  CHECK(options.latent_size + options.rotated_size <= kMaxHeadSize, "checked when the model is loaded");
  CHECK(options.first_key < kPageTokens, "the first key is in the first page");
  const LatentCall call{queries, layer, rows, cache, options, selection};
  latent_work_.plan(rows, options.heads, selection != nullptr, pool_.size());
  if (!latent_work_.pieces().empty()) return attend_pieces(call, out);
  const auto& runs = latent_work_.runs();
  pool_.run(std::ssize(runs), [&](std::int64_t task, int worker) {
    // Long rows first: a tile late in the prompt has the most keys.
    attend_run(call, runs[static_cast<std::size_t>(std::ssize(runs) - 1 - task)],
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
    for (std::int64_t key = std::max<std::int64_t>(first, options.first_key); key < end; ++key)
      best.offer(ratings[key - first], key);
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
