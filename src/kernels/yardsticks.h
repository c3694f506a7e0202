// The limits that the kernels are measured against: dot products on registers alone, loads alone.
// Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace maestrale::kernels {

constexpr int kYardstickDots = 12;

template <class V>
std::int32_t dot_yardstick(std::int64_t rounds) {
  typename V::Dot dots[kYardstickDots];
  const std::int8_t four[4] = {1, -2, 3, -4};
  const typename V::U8 codes = V::bytes(3);
  const auto x = V::quad(four);
#pragma GCC unroll 16
  for (int i = 0; i < kYardstickDots; ++i) {
    dots[i] =
        V::template dot_start<8>(V::ibroadcast(static_cast<std::int32_t>(rounds) * i));  // all different
  }
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kYardstickDots; ++i) V::template dot_step<8>(dots[i], 1, false, codes, x);
  }
  std::int32_t total = 0;
#pragma GCC unroll 16
  for (int i = 0; i < kYardstickDots; ++i) {
    V::template dot_step<8>(dots[i], 1, true, codes, x);
    total += V::isum(dots[i].total);
  }
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
