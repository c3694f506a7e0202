// The limits that the kernels are measured against: dot products on registers alone, loads alone.
// Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace maestrale::kernels {

// About `count` dot products of 64 bytes, in chains of eight and as many chains side by side as a tile has;
// the result only keeps them alive.
template <class V>
std::int32_t dot_yardstick(std::int64_t count) {
  constexpr int kChain = 8, kDots = V::kDotRows * V::kDotPanels;
  typename V::Dot dots[kDots];
  alignas(64) static constexpr std::int8_t kFours[64] = {
      1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12, 13, -14, 15, -16, 17, -18, 19, -20, 21, -22, 23, -24};
  const auto one = V::bytes(1);
  auto codes = V::bytes(3);  // others in every round, so that no product stands for two
#pragma GCC unroll 16
  for (int i = 0; i < kDots; ++i) {
    dots[i] =
        V::template dot_start<kChain>(V::ibroadcast(static_cast<std::int32_t>(count) * i));  // all different
  }
  for (std::int64_t done = 0; done < count; done += kChain * kDots) {
#pragma GCC unroll 8
    for (int step = 0; step < kChain; ++step) {
      codes = V::add_u8(codes, one);
#pragma GCC unroll 16
      for (int i = 0; i < kDots; ++i)
        V::template dot_step<kChain>(dots[i], step, step == kChain - 1, codes, V::quad(kFours + 4 * i));
    }
  }
  std::int32_t total = 0;
#pragma GCC unroll 16
  for (int i = 0; i < kDots; ++i) total += V::isum(dots[i].total);
  return total;
}

// Four streams, each a quarter of the bytes: one core reads more that way than in a single stream.
template <class V>
std::int32_t read_yardstick(const std::byte* data, std::size_t bytes) {
  typename V::U8 sums[4] = {V::bytes(0), V::bytes(0), V::bytes(0), V::bytes(0)};
  const std::size_t quarter = bytes / 4;
  for (std::size_t at = 0; at < quarter; at += 256) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 16; ++i) {
      sums[i % 4] = V::add_u8(sums[i % 4], V::load_u8(data + i / 4 * quarter + at + 64 * (i % 4)));
    }
  }
  alignas(64) std::uint8_t out[64];
  V::store_u8(out, V::add_u8(V::add_u8(sums[0], sums[1]), V::add_u8(sums[2], sums[3])));
  return out[0];
}

}  // namespace maestrale::kernels
