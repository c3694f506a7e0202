// A batch of activations: straight from two panels at once, so that an activation is loaded once for both.
// Freestanding.
#pragma once

#include "kernels/quantised_chain.h"

namespace maestrale::kernels {

// Activations of one pass: as many as leave room in the registers for their sums and dots beside two panels'
// codes. 0: not for this set, or not for these panels, whose readers of long groups take too much of it.
template <class V, class K>
constexpr int kPairRows = K::kBlocks > 4            ? 0
                          : K::Scales::kHalves == 1 ? V::kPairRows
                                                    : V::kPairRows * 2 / 3;

// The lines of the next two panels that one pass over these two asks for, a few with each block.
struct NextLines {
  const std::uint8_t* at = nullptr;
  const std::uint8_t* end = nullptr;
  int per_block = 0;
};

template <class V, class K, int kRows>
void pair(const MatmulArgs& args, std::int64_t panel, std::int64_t first_activation, NextLines next) {
  using Codes = typename K::Codes;
  using Scales = typename K::Scales;
  using Reader = typename Scales::template Reader<V>;
  constexpr int kHalves = Scales::kHalves, kHalfSteps = kSteps / kHalves;
  const typename V::U8 table = Codes::kTable ? V::load_table(args.layout->table) : V::bytes(0);
  const std::int64_t stride = args.activation_stride;
  const ActivationBlock* x = args.activations + first_activation * stride;
  const std::uint8_t* groups[2] = {args.panels + panel * args.panel_bytes,
                                   args.panels + (panel + 1) * args.panel_bytes};
  typename V::F32 acc[kRows][2];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) acc[i][0] = acc[i][1] = V::zero();
  for (std::int64_t block = 0; block < args.blocks; block += K::kBlocks) {
    const std::int64_t left = args.blocks - block;
    const int count = left < K::kBlocks ? static_cast<int>(left) : K::kBlocks;
    const Reader readers[2] = {Reader(groups[0] + Codes::kBytes), Reader(groups[1] + Codes::kBytes)};
    for (int b = 0; b < count; ++b, ++x) {
      for (int line = 0; line < next.per_block && next.at < next.end; ++line, next.at += 64)
        V::prefetch_far(next.at);
      typename V::F32 products[kRows][2];
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        typename V::Dot dots[kRows][2];
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) {
          const ActivationBlock& a = x[i * stride];
          const std::int32_t offset = kHalves == 1 ? a.offset : a.half_offsets[half];
          dots[i][0] = dots[i][1] =
              V::template dot_start<Codes::kChain>(dot_origin<V, Codes::kOffset, Codes::kChain>(offset));
        }
#pragma GCC unroll 8
        for (int step = 0; step < kHalfSteps; ++step) {
          const int s = half * kHalfSteps + step;
          const typename V::U8 first = Codes::template step<V>(groups[0], b, s, table);
          const typename V::U8 second = Codes::template step<V>(groups[1], b, s, table);
#pragma GCC unroll 8
          for (int i = 0; i < kRows; ++i) {
            const auto quad = V::quad(x[i * stride].codes + 4 * s);
            V::template dot_step<Codes::kChain>(dots[i][0], step, step == kHalfSteps - 1, first, quad);
            V::template dot_step<Codes::kChain>(dots[i][1], step, step == kHalfSteps - 1, second, quad);
          }
        }
#pragma GCC unroll 2
        for (int z = 0; z < 2; ++z) {
          const auto scale = readers[z].scale(b, half);
#pragma GCC unroll 8
          for (int i = 0; i < kRows; ++i) {
            const auto dot = V::to_f32(dots[i][z].total);
            products[i][z] = half == 0 ? V::mul(dot, scale) : V::fma(dot, scale, products[i][z]);
          }
        }
      }
#pragma GCC unroll 2
      for (int z = 0; z < 2; ++z) {
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i)
          acc[i][z] = V::fma(products[i][z], V::broadcast(x[i * stride].scale), acc[i][z]);
        if constexpr (Scales::kMin) {
#pragma GCC unroll 2
          for (int half = 0; half < kHalves; ++half) {
            const auto minimum = readers[z].minimum(b, half);
#pragma GCC unroll 8
            for (int i = 0; i < kRows; ++i) {
              const ActivationBlock& a = x[i * stride];
              acc[i][z] = V::fma(minimum, V::broadcast(kHalves == 1 ? a.sum : a.half_sums[half]), acc[i][z]);
            }
          }
        }
      }
    }
    for (const std::uint8_t*& group : groups) group += K::kBytes;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    store_product<V>(args.to, first_activation + i, panel * kPanelRows, acc[i][0]);
    store_product<V>(args.to, first_activation + i, (panel + 1) * kPanelRows, acc[i][1]);
  }
}

// Calls the kernel of exactly `rows` activations, 1 <= rows <= kRows.
template <class V, class K, int kRows>
void pair_of(const MatmulArgs& args, std::int64_t panel, std::int64_t activation, int rows, NextLines next) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return pair_of<V, K, kRows - 1>(args, panel, activation, rows, next);
  }
  pair<V, K, kRows>(args, panel, activation, next);
}

// All activations times all panels but the last where their number is odd; returns how many panels are done.
// The activations go in passes as even as can be. The first brings the weights from memory; each asks for its
// share of the next two panels.
template <class V, class K>
std::int64_t pair_all(const MatmulArgs& args) {
  constexpr int kRows = kPairRows<V, K>;
  const auto passes = static_cast<int>((args.activation_count + kRows - 1) / kRows);
  const std::int64_t share = (2 * args.panel_bytes / 64 + passes - 1) / passes;
  const auto per_block = static_cast<int>((share + args.blocks - 1) / args.blocks);
  std::int64_t panel = 0;
  for (; panel + 2 <= args.panel_count; panel += 2) {
    const std::uint8_t* next = args.panels + (panel + 2) * args.panel_bytes;
    std::int64_t first = 0;
    for (int pass = 0; pass < passes; ++pass, next += share * 64) {
      const auto rows = static_cast<int>((args.activation_count - first) / (passes - pass));
      pair_of<V, K, kRows>(args, panel, first, rows, {next, next + share * 64, per_block});
      first += rows;
    }
  }
  return panel;
}

}  // namespace maestrale::kernels
