// Few activations: weights straight from the panel, unpacked in registers. Freestanding.
#pragma once

#include "kernels/quantised_chain.h"

namespace maestrale::kernels {

template <class V, class K, int kCount>
[[gnu::always_inline]] inline void direct_block(const std::uint8_t* codes,
                                                const typename K::Scales::template Reader<V>& reader,
                                                int block, typename V::U8 table, const ActivationBlock* x,
                                                std::int64_t x_stride, typename V::F32 (&acc)[kCount]) {
  using Codes = typename K::Codes;
  using Scales = typename K::Scales;
  constexpr int kHalves = Scales::kHalves;
  typename V::Dot dots[kCount][kHalves];
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) {
      const std::int32_t offset = kHalves == 1 ? x[i * x_stride].offset : x[i * x_stride].half_offsets[half];
      dots[i][half] =
          V::template dot_start<Codes::kChain>(dot_origin<V, Codes::kOffset, Codes::kChain>(offset));
    }
  }
#pragma GCC unroll 8
  for (int s = 0; s < kSteps; ++s) {
    constexpr int kHalfSteps = kSteps / kHalves;
    const typename V::U8 step = Codes::template step<V>(codes, block, s, table);
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) {
      V::template dot_step<Codes::kChain>(dots[i][s / kHalfSteps], s % kHalfSteps,
                                          s % kHalfSteps == kHalfSteps - 1, step,
                                          V::quad(x[i * x_stride].codes + 4 * s));
    }
  }
  const typename V::F32 scale0 = reader.scale(block, 0);
  const typename V::F32 scale1 = kHalves == 1 ? scale0 : reader.scale(block, 1);
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) {
    const ActivationBlock& a = x[i * x_stride];
    const typename V::I32 totals[2] = {dots[i][0].total, dots[i][kHalves - 1].total};
    acc[i] = V::fma(scaled<V, Scales>(totals, scale0, scale1), V::broadcast(a.scale), acc[i]);
    if constexpr (Scales::kMin && kHalves == 1) {
      acc[i] = V::fma(reader.minimum(block, 0), V::broadcast(a.sum), acc[i]);
    }
    if constexpr (Scales::kMin && kHalves == 2) {
      acc[i] = V::fma(reader.minimum(block, 0), V::broadcast(a.half_sums[0]), acc[i]);
      acc[i] = V::fma(reader.minimum(block, 1), V::broadcast(a.half_sums[1]), acc[i]);
    }
  }
}

// Panels that the direct kernel reads side by side, each in its own stream. Readers of long groups decode the
// scales of all their blocks at once: one of them fills the registers.
template <class K>
[[gnu::always_inline]] constexpr int direct_streams(std::int64_t activation_count) {
  if (K::kBlocks > 4) return 1;
  return activation_count == 1 ? 4 : activation_count <= 4 ? 2 : 1;
}

// kPanels panels side by side, `apart` panels from one to the next.
template <class V, class K, int kCount, int kPanels>
void direct(const MatmulArgs& args, std::int64_t panel, std::int64_t apart, std::int64_t first_activation) {
  using Reader = typename K::Scales::template Reader<V>;
  const typename V::U8 table = K::Codes::kTable ? V::load_table(args.layout->table) : V::bytes(0);
  const ActivationBlock* x = args.activations + first_activation * args.activation_stride;
  const std::uint8_t* group = args.panels + panel * args.panel_bytes;
  typename V::F32 acc[kPanels][kCount];
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) acc[p][i] = V::zero();
  }
  for (std::int64_t block = 0; block < args.blocks; block += K::kBlocks, group += K::kBytes) {
    const std::int64_t left = args.blocks - block;
    const int count = left < K::kBlocks ? static_cast<int>(left) : K::kBlocks;
    const Reader first(group + K::Codes::kBytes);
    for (int b = 0; b < count; ++b) {
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) {
        constexpr int kShare = K::kBytes / K::kBlocks;
        const std::uint8_t* codes = group + p * apart * args.panel_bytes;
        prefetch_lines<V>(codes + kAheadBytes + b * kShare, kShare);
        if (p == 0) {
          direct_block<V, K, kCount>(codes, first, b, table, x + block + b, args.activation_stride, acc[p]);
        } else {
          const Reader reader(codes + K::Codes::kBytes);
          direct_block<V, K, kCount>(codes, reader, b, table, x + block + b, args.activation_stride, acc[p]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 8
    for (int i = 0; i < kCount; ++i) {
      store_product<V>(args.to, first_activation + i, (panel + p * apart) * kPanelRows, acc[p][i]);
    }
  }
}

// Calls the direct kernel of exactly `count` activations, 1 <= count <= kCount, on the panels of `range` from
// `begin` on: in its streams where they are the kernel's, else in streams of a single range.
template <class V, class K, int kCount>
void direct_of(const MatmulArgs& args, std::int64_t begin, const PanelRange& range, std::int64_t activation,
               int count) {
  if constexpr (kCount > 1) {
    if (count < kCount) return direct_of<V, K, kCount - 1>(args, begin, range, activation, count);
  }
  constexpr int kPanels = direct_streams<K>(kCount);
  const bool streamed = range.streams == kPanels;
  const std::int64_t each = streamed ? range.count : range.count / kPanels;
  const std::int64_t apart = streamed ? range.apart : each;
  for (std::int64_t i = 0; i < each; ++i) direct<V, K, kCount, kPanels>(args, begin + i, apart, activation);
  if (streamed) return;
  for (std::int64_t i = each * kPanels; i < range.count; ++i) {
    direct<V, K, kCount, 1>(args, begin + i, 1, activation);
  }
}

}  // namespace maestrale::kernels
