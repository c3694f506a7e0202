// Quantised panels times int8 activations. Every output is one chain over the blocks of 32 columns in order:
//   acc = fma(float(dot) * scale, a, acc), then with minimums acc = fma(minimum, A, acc);
//   two scales per block: t = float(dot0) * scale0, t = fma(float(dot1), scale1, t), acc = fma(t, a, acc);
// a and A are the activation block's scale and sum, the dots are exact. The direct kernel (few activations),
// that of pairs of panels (a batch) and the tiled one (many) run this same chain, so the number of
// activations never changes a bit. Freestanding.
#pragma once

#include "kernels/quantised_direct.h"
#include "kernels/quantised_pairs.h"

namespace maestrale::kernels {

// --- a batch: the weights unpacked in registers, again for each group of activations ---

// Up to so many groups of activations, one after the other on each panel: it is in a cache by then, and to
// unpack it would cost more. Whole bytes need no unpacking.
template <class K>
constexpr int kDirectGroups = K::kBytes >= K::kBlocks* kSteps* kStepBytes ? 1 : 3;

template <class V, class K>
void direct_groups(const MatmulArgs& args, std::int64_t first_panel, int groups) {
  for (std::int64_t panel = first_panel; panel < args.panel_count; ++panel) {
    std::int64_t first = 0;
    for (int group = 0; group < groups; ++group) {
      const auto count = static_cast<int>((args.activation_count - first) / (groups - group));
      direct_of<V, K, V::kDirectRows>(args, panel, {.count = 1}, first, count);
      first += count;
    }
  }
}

constexpr int kMostPairedRows = 24;

// --- many activations: two panels unpacked to bytes, then tiles of activations ---

constexpr int kTilePanels = 2;
constexpr int kTileLanes = kTilePanels * kPanelRows;
constexpr int kUnpackBlocks = 16;  // of 32 columns; a multiple of every group
constexpr int kSpanBlocks = 32;    // of a row's blocks: the activations of so many stay in the second cache
constexpr int kChunkRows = 256;    // activations whose sums stay in the scratch
constexpr int kGroupPairs = 4;     // pairs of panels that a span of activations meets before the next span

struct TileScratch {
  alignas(64) std::uint8_t codes[kUnpackBlocks][kSteps][kTilePanels][kStepBytes];
  alignas(64) float scales[kUnpackBlocks][2][kTileLanes];
  alignas(64) float minimums[kUnpackBlocks][2][kTileLanes];
  alignas(64) float sums[kGroupPairs][kChunkRows][kTileLanes];
};

template <class V>
constexpr std::size_t matmul_scratch_bytes() {
  return sizeof(TileScratch);
}

// What the tile kernel needs to know of a kind: the codes of many kinds look alike once unpacked.
template <int kOffset_, int kChain_, int kHalves_, bool kMin_>
struct TileShape {
  static constexpr int kOffset = kOffset_;
  static constexpr int kChain = kChain_;
  static constexpr int kHalves = kHalves_;
  static constexpr bool kMin = kMin_;
};

// Sets that multiply full bytes see every offset as 128, whose correction the activations carry.
template <class V, class K>
using ShapeOf = TileShape<(V::kByteDot && K::Codes::kOffset != 0) ? 128 : K::Codes::kOffset,
                          V::kByteDot ? 0 : K::Codes::kChain, K::Scales::kHalves, K::Scales::kMin>;

template <class V, class K>
void unpack(const std::uint8_t* group, int blocks, typename V::U8 table, int lane_set, TileScratch& scratch) {
  using Shape = ShapeOf<V, K>;
  const typename V::U8 bias = V::bytes(static_cast<std::uint8_t>(Shape::kOffset - K::Codes::kOffset));
  for (int first = 0; first < blocks; first += K::kBlocks, group += K::kBytes) {
    const typename K::Scales::template Reader<V> reader(group + K::Codes::kBytes);
    for (int b = 0; b < K::kBlocks && first + b < blocks; ++b) {
      const int at = first + b;
#pragma GCC unroll 8
      for (int s = 0; s < kSteps; ++s) {
        typename V::U8 step = K::Codes::template step<V>(group, b, s, table);
        if constexpr (Shape::kOffset != K::Codes::kOffset) step = V::add_u8(step, bias);
        V::store_u8(scratch.codes[at][s][lane_set], step);
      }
      for (int half = 0; half < Shape::kHalves; ++half) {
        V::store(scratch.scales[at][half] + lane_set * kPanelRows, reader.scale(b, half));
        if constexpr (Shape::kMin) {
          V::store(scratch.minimums[at][half] + lane_set * kPanelRows, reader.minimum(b, half));
        }
      }
    }
  }
}

// The dots of one half (or whole) block for kRows activations and as many panels as the registers hold, from
// `first` on.
template <class V, class Shape, int kRows>
[[gnu::always_inline]] inline void tile_dots(const std::uint8_t (*codes)[kTilePanels][kStepBytes], int first,
                                             int half, const ActivationBlock* x, std::int64_t x_stride,
                                             typename V::Dot (&dots)[kRows][V::kDotPanels]) {
  constexpr int kHalfSteps = kSteps / Shape::kHalves;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const ActivationBlock& a = x[i * x_stride];
    const std::int32_t offset = Shape::kHalves == 1 ? a.offset : a.half_offsets[half];
    const auto origin = dot_origin<V, Shape::kOffset, Shape::kChain>(offset);
#pragma GCC unroll 2
    for (int z = 0; z < V::kDotPanels; ++z) dots[i][z] = V::template dot_start<Shape::kChain>(origin);
  }
#pragma GCC unroll 8
  for (int s = 0; s < kHalfSteps; ++s) {
    typename V::U8 weights[V::kDotPanels];
#pragma GCC unroll 2
    for (int z = 0; z < V::kDotPanels; ++z) weights[z] = V::load_u8(codes[half * kHalfSteps + s][first + z]);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const auto quad = V::quad(x[i * x_stride].codes + 4 * (half * kHalfSteps + s));
#pragma GCC unroll 2
      for (int z = 0; z < V::kDotPanels; ++z)
        V::template dot_step<Shape::kChain>(dots[i][z], s, s == kHalfSteps - 1, weights[z], quad);
    }
  }
}

// Lines of the next weights that a tile asks for, a few with each block.
struct Ahead {
  const std::uint8_t* first[kTilePanels] = {};
  int lines_per_block = 0;
};

// `begins`: the sums hold nothing yet.
template <class V, class Shape, int kRows>
void tile(const TileScratch& scratch, int first, int blocks, const ActivationBlock* x, std::int64_t x_stride,
          float (*sums)[kTileLanes], bool begins, Ahead ahead) {
  typename V::F32 acc[kRows][V::kDotPanels];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int z = 0; z < V::kDotPanels; ++z)
      acc[i][z] = begins ? V::zero() : V::load(sums[i] + (first + z) * kPanelRows);
  }
  for (int b = 0; b < blocks; ++b, ++x) {
    for (int line = 0; line < ahead.lines_per_block; ++line) {
      V::prefetch(ahead.first[0] += 64);
      V::prefetch(ahead.first[1] += 64);
    }
    typename V::F32 scaled[kRows][V::kDotPanels];
#pragma GCC unroll 2
    for (int half = 0; half < Shape::kHalves; ++half) {
      typename V::Dot dots[kRows][V::kDotPanels];
      tile_dots<V, Shape, kRows>(scratch.codes[b], first, half, x, x_stride, dots);
#pragma GCC unroll 2
      for (int z = 0; z < V::kDotPanels; ++z) {
        const auto scale = V::load(scratch.scales[b][half] + (first + z) * kPanelRows);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          const auto dot = V::to_f32(dots[i][z].total);
          scaled[i][z] = half == 0 ? V::mul(dot, scale) : V::fma(dot, scale, scaled[i][z]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const ActivationBlock& a = x[i * x_stride];
#pragma GCC unroll 2
      for (int z = 0; z < V::kDotPanels; ++z) {
        acc[i][z] = V::fma(scaled[i][z], V::broadcast(a.scale), acc[i][z]);
        if constexpr (Shape::kMin) {
          const float* minimums = scratch.minimums[b][0] + (first + z) * kPanelRows;
          if constexpr (Shape::kHalves == 1) {
            acc[i][z] = V::fma(V::load(minimums), V::broadcast(a.sum), acc[i][z]);
          } else {
            acc[i][z] = V::fma(V::load(minimums), V::broadcast(a.half_sums[0]), acc[i][z]);
            acc[i][z] = V::fma(V::load(minimums + kTileLanes), V::broadcast(a.half_sums[1]), acc[i][z]);
          }
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int z = 0; z < V::kDotPanels; ++z) V::store(sums[i] + (first + z) * kPanelRows, acc[i][z]);
  }
}

// Calls the tile kernel of exactly `rows` activations, 1 <= rows <= kRows.
template <class V, class Shape, int kRows>
void tile_of(int rows, const TileScratch& scratch, int blocks, const ActivationBlock* x,
             std::int64_t x_stride, float (*sums)[kTileLanes], bool begins, const Ahead& ahead) {
  if constexpr (kRows > 1) {
    if (rows < kRows)
      return tile_of<V, Shape, kRows - 1>(rows, scratch, blocks, x, x_stride, sums, begins, ahead);
  }
  tile<V, Shape, kRows>(scratch, 0, blocks, x, x_stride, sums, begins, ahead);
  for (int panel = V::kDotPanels; panel < kTilePanels; panel += V::kDotPanels)
    tile<V, Shape, kRows>(scratch, panel, blocks, x, x_stride, sums, begins, Ahead{});
}

// Activations [first, first + count) of a matmul, at most kChunkRows.
struct ActivationRows {
  std::int64_t first;
  int count;
};

// sums += blocks [begin, end) of two panels (the second may be the first again, then not stored) times rows;
// block 0 begins the sums.
template <class V, class K>
void tiled_span(const MatmulArgs& args, std::int64_t panel, ActivationRows rows, std::int64_t begin,
                std::int64_t end, float (*sums)[kTileLanes]) {
  const ActivationBlock* x = args.activations + rows.first * args.activation_stride;
  auto& scratch = *reinterpret_cast<TileScratch*>(args.scratch);
  const typename V::U8 table = K::Codes::kTable ? V::load_table(args.layout->table) : V::bytes(0);
  const std::uint8_t* first = args.panels + panel * args.panel_bytes;
  const std::uint8_t* second = panel + 1 < args.panel_count ? first + args.panel_bytes : first;
  const int tiles = (rows.count + V::kDotRows - 1) / V::kDotRows;
  for (std::int64_t block = begin; block < end; block += kUnpackBlocks) {
    const int blocks = end - block < kUnpackBlocks ? static_cast<int>(end - block) : kUnpackBlocks;
    const std::int64_t at = block / K::kBlocks * K::kBytes;
    unpack<V, K>(first + at, blocks, table, 0, scratch);
    unpack<V, K>(second + at, blocks, table, 1, scratch);
    constexpr int kLines = kUnpackBlocks / K::kBlocks * K::kBytes / 64;
    const int lines = kLines / (tiles * kUnpackBlocks) + 1;
    Ahead ahead{{first + at + kLines * 64, second + at + kLines * 64}, lines};
    for (int t = 0, row = 0; t < tiles; ++t) {  // as even as can be
      const int count = (rows.count - row) / (tiles - t);
      tile_of<V, ShapeOf<V, K>, V::kDotRows>(count, scratch, blocks, x + row * args.activation_stride + block,
                                             args.activation_stride, sums + row, block == 0, ahead);
      row += count;
      for (const std::uint8_t*& next : ahead.first) next += lines * blocks * 64;
      if (ahead.first[0] >= first + at + 2 * kLines * 64) ahead.lines_per_block = 0;
    }
  }
}

// At most kGroupPairs pairs of panels from `panel` on times rows.
template <class V, class K>
void tiled_group(const MatmulArgs& args, std::int64_t panel, ActivationRows rows) {
  auto& sums = reinterpret_cast<TileScratch*>(args.scratch)->sums;
  const std::int64_t left = (args.panel_count - panel + kTilePanels - 1) / kTilePanels;
  const int pairs = left < kGroupPairs ? static_cast<int>(left) : kGroupPairs;
  for (std::int64_t begin = 0; begin < args.blocks; begin += kSpanBlocks) {
    const std::int64_t end = begin + kSpanBlocks < args.blocks ? begin + kSpanBlocks : args.blocks;
    for (int pair = 0; pair < pairs; ++pair) {
      tiled_span<V, K>(args, panel + pair * kTilePanels, rows, begin, end, sums[pair]);
    }
  }
  for (int i = 0; i < rows.count; ++i) {
    for (int pair = 0; pair < pairs; ++pair) {
      const std::int64_t row = (panel + pair * kTilePanels) * kPanelRows;
      store_product<V>(args.to, rows.first + i, row, V::load(sums[pair][i]));
      store_product<V>(args.to, rows.first + i, row + kPanelRows, V::load(sums[pair][i] + kPanelRows));
    }
  }
}

// More activations than the direct kernel takes at once, times panels in a row.
template <class V, class K>
void matmul_many(const MatmulArgs& args) {
  const std::int64_t groups = (args.activation_count + V::kDirectRows - 1) / V::kDirectRows;
  if constexpr (kPairRows < V, K >> 0) {
    if (args.activation_count <= kMostPairedRows) {
      direct_groups<V, K>(args, pair_all<V, K>(args), static_cast<int>(groups));  // one panel may be left
      return;
    }
  }
  if (groups <= kDirectGroups<K>) return direct_groups<V, K>(args, 0, static_cast<int>(groups));
  for (std::int64_t first = 0; first < args.activation_count; first += kChunkRows) {
    const std::int64_t left = args.activation_count - first;
    const ActivationRows rows{first, left < kChunkRows ? static_cast<int>(left) : kChunkRows};
    for (std::int64_t panel = 0; panel < args.panel_count; panel += kGroupPairs * kTilePanels) {
      tiled_group<V, K>(args, panel, rows);
    }
  }
}

// The panels of one stream that begins at `panel`; nothing is stored beyond them.
[[gnu::always_inline]] inline MatmulArgs stream_from(const MatmulArgs& args, std::int64_t panel) {
  const std::int64_t rows = panel * kPanelRows;
  const std::int64_t own = args.panel_count * kPanelRows;
  MatmulArgs from = args;
  from.panels += panel * args.panel_bytes;
  from.to.out += rows;
  from.to.row_limit = args.to.row_limit - rows < own ? args.to.row_limit - rows : own;
  if (from.to.bias != nullptr) from.to.bias += rows;
  if (from.to.residual != nullptr) from.to.residual += rows;
  return from;
}

template <class V, class K>
void matmul_kind(const MatmulArgs& args, const PanelRange& range) {
  const std::int64_t count = args.activation_count;
  if (count <= 0) return;
  if (count <= V::kDirectRows && (range.streams == 1 || range.streams == direct_streams<K>(count)))
    return direct_of<V, K, V::kDirectRows>(args, 0, range, 0, static_cast<int>(count));
  for (std::int64_t stream = 0; stream < range.streams; ++stream) {
    const MatmulArgs part = stream_from(args, stream * range.apart);
    if (count <= V::kDirectRows) {
      direct_of<V, K, V::kDirectRows>(part, 0, {.count = range.count}, 0, static_cast<int>(count));
    } else {
      matmul_many<V, K>(part);
    }
  }
}

template <class V>
std::int64_t matmul_streams(const PanelLayout* layout, std::int64_t activation_count) {
  std::int64_t streams = 1;
  if (activation_count > V::kDirectRows) return streams;
  with_kind(layout->kind, [&](auto kind) { streams = direct_streams<decltype(kind)>(activation_count); });
  return streams;
}

template <class V>
void matmul(const PanelLayout* layout, const std::byte* panels, const PanelRange& range, std::int64_t columns,
            const std::byte* activations, std::int64_t activation_count, const MatmulOutput& to,
            std::byte* scratch) {
  const std::int64_t groups = (columns + layout->group_columns - 1) / layout->group_columns;
  const MatmulArgs args{.layout = layout,
                        .panels = reinterpret_cast<const std::uint8_t*>(panels),
                        .panel_count = range.count,
                        .panel_bytes = groups * layout->group_bytes,
                        .blocks = columns / kBlockColumns,
                        .activations = reinterpret_cast<const ActivationBlock*>(activations),
                        .activation_count = activation_count,
                        .activation_stride = activation_stride(columns),
                        .to = to,
                        .scratch = reinterpret_cast<std::uint8_t*>(scratch)};
  with_kind(layout->kind, [&](auto kind) { matmul_kind<V, decltype(kind)>(args, range); });
}

}  // namespace maestrale::kernels
