// The vector set in plain C++: the meaning of every function that avx2.h and avx512.h give by instructions.
// V::F32 is 16 floats, V::I32 16 integers, V::U8 64 bytes, V::Quad 4 signed bytes for all lanes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/simd/inline.h"

namespace maestrale::kernels::simd {

struct Ref {
  static constexpr const char* kName = "ref";
  static constexpr bool kByteDot = true;  // dot_step takes codes of the full 8 bits, without saturation
  static constexpr int kTileRows = 2;     // activation rows of a tile of float sums that the registers hold
  static constexpr int kDotRows = 2;      // the same for tiles of Dots with their float sums
  static constexpr int kDotPanels = 2;
  static constexpr int kDirectRows = 2;  // up to so many activations use the direct kernel
  static constexpr int kPairRows = 0;    // of the kernel that takes two panels at once; 0: no room for it

  struct F32 {
    float v[16];
  };
  struct I32 {
    std::int32_t v[16];
  };
  struct U8 {
    std::uint8_t v[64];
  };
  struct Quad {
    std::int8_t v[4];
  };
  struct Dot {
    I32 total;
  };

  // --- 16 floats ---
  SIMD_INLINE F32 zero() { return F32{}; }
  SIMD_INLINE F32 broadcast(float x) {
    return map([=](int) { return x; });
  }
  SIMD_INLINE F32 load(const float* p) {
    return map([=](int i) { return p[i]; });
  }
  SIMD_INLINE void store(float* p, const F32& a) {
    for (int i = 0; i < 16; ++i) p[i] = a.v[i];
  }
  SIMD_INLINE F32 load_part(const float* p, int n) {  // lanes from n on are 0 and not read; 0 < n <= 16
    return map([=](int i) { return i < n ? p[i] : 0.0f; });
  }
  SIMD_INLINE void store_part(float* p, const F32& a, int n) {
    for (int i = 0; i < n; ++i) p[i] = a.v[i];
  }
  SIMD_INLINE F32 load_f16(const void* p) {
    const auto* bytes = static_cast<const unsigned char*>(p);
    return map([=](int i) { return half_to_float(word(bytes + 2 * i)); });
  }
  SIMD_INLINE F32 load_bf16(const void* p) {
    const auto* bytes = static_cast<const unsigned char*>(p);
    return map([=](int i) { return __builtin_bit_cast(float, word(bytes + 2 * i) << 16); });
  }
  SIMD_INLINE void store_f16(void* p, const F32& a) {  // to nearest even
    auto* bytes = static_cast<unsigned char*>(p);
    for (int i = 0; i < 16; ++i) {
      const std::uint32_t half = float_to_half(a.v[i]);
      bytes[2 * i] = static_cast<unsigned char>(half);
      bytes[2 * i + 1] = static_cast<unsigned char>(half >> 8);
    }
  }
  SIMD_INLINE F32 add(const F32& a, const F32& b) {
    return map([&](int i) { return a.v[i] + b.v[i]; });
  }
  SIMD_INLINE F32 sub(const F32& a, const F32& b) {
    return map([&](int i) { return a.v[i] - b.v[i]; });
  }
  SIMD_INLINE F32 mul(const F32& a, const F32& b) {
    return map([&](int i) { return a.v[i] * b.v[i]; });
  }
  SIMD_INLINE F32 div(const F32& a, const F32& b) {
    return map([&](int i) { return a.v[i] / b.v[i]; });
  }
  SIMD_INLINE F32 sqrt(const F32& a) {
    return map([&](int i) { return __builtin_sqrtf(a.v[i]); });
  }
  SIMD_INLINE F32 fma(const F32& a, const F32& b, const F32& c) {  // a * b + c, rounded once
    return map([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
  }
  SIMD_INLINE F32 min(const F32& a, const F32& b) {  // b where either is not a number
    return map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  SIMD_INLINE F32 max(const F32& a, const F32& b) {  // b where either is not a number
    return map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  SIMD_INLINE F32 abs(const F32& a) {
    return map([&](int i) { return __builtin_fabsf(a.v[i]); });
  }
  SIMD_INLINE F32 select_less(const F32& a, const F32& b, const F32& yes,
                              const F32& no) {  // a < b ? yes : no
    return map([&](int i) { return a.v[i] < b.v[i] ? yes.v[i] : no.v[i]; });
  }
  SIMD_INLINE float sum(F32 a) {  // a fixed tree: lane i with i + 8, then + 4, + 2, + 1
    for (int step = 8; step > 0; step /= 2) {
      for (int i = 0; i < step; ++i) a.v[i] = a.v[i] + a.v[i + step];
    }
    return a.v[0];
  }
  SIMD_INLINE float largest(F32 a) {
    for (int step = 8; step > 0; step /= 2) {
      for (int i = 0; i < step; ++i) a.v[i] = a.v[i] > a.v[i + step] ? a.v[i] : a.v[i + step];
    }
    return a.v[0];
  }

  // --- 16 integers ---
  SIMD_INLINE I32 izero() { return I32{}; }
  SIMD_INLINE I32 ibroadcast(std::int32_t x) {
    return imap([=](int) { return x; });
  }
  SIMD_INLINE I32 load_u8x16(const void* p) {
    const auto* bytes = static_cast<const std::uint8_t*>(p);
    return imap([=](int i) { return std::int32_t{bytes[i]}; });
  }
  SIMD_INLINE I32 load_i8x16(const void* p) {
    const auto* bytes = static_cast<const std::int8_t*>(p);
    return imap([=](int i) { return std::int32_t{bytes[i]}; });
  }
  SIMD_INLINE void store_i8x16(void* p, const I32& a) {  // the low byte of each
    auto* bytes = static_cast<std::uint8_t*>(p);
    for (int i = 0; i < 16; ++i) bytes[i] = static_cast<std::uint8_t>(a.v[i]);
  }
  SIMD_INLINE I32 iadd(const I32& a, const I32& b) {
    return imap([&](int i) { return static_cast<std::int32_t>(bits(a.v[i]) + bits(b.v[i])); });
  }
  SIMD_INLINE I32 isub(const I32& a, const I32& b) {
    return imap([&](int i) { return static_cast<std::int32_t>(bits(a.v[i]) - bits(b.v[i])); });
  }
  SIMD_INLINE I32 imax(const I32& a, const I32& b) {
    return imap([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  SIMD_INLINE I32 iand(const I32& a, const I32& b) {
    return imap([&](int i) { return a.v[i] & b.v[i]; });
  }
  template <int kBits>
  SIMD_INLINE I32 shift_left(const I32& a) {
    return imap([&](int i) { return static_cast<std::int32_t>(bits(a.v[i]) << kBits); });
  }
  template <int kBits>  // arithmetic
  SIMD_INLINE I32 shift_right(const I32& a) {
    return imap([&](int i) { return a.v[i] >> kBits; });
  }
  SIMD_INLINE std::int32_t isum(const I32& a) {
    std::uint32_t total = 0;
    for (const std::int32_t x : a.v) total += bits(x);
    return static_cast<std::int32_t>(total);
  }
  SIMD_INLINE std::int32_t ilargest(const I32& a) {
    std::int32_t best = a.v[0];
    for (const std::int32_t x : a.v) best = x > best ? x : best;
    return best;
  }
  SIMD_INLINE F32 to_f32(const I32& a) {
    return map([&](int i) { return static_cast<float>(a.v[i]); });
  }
  SIMD_INLINE I32 round_i32(const F32& a) {  // to nearest even; what no int32 holds becomes INT32_MIN
    return imap([&](int i) {
      const float rounded = __builtin_rintf(a.v[i]);
      return rounded >= -0x1p31f && rounded < 0x1p31f ? static_cast<std::int32_t>(rounded) : INT32_MIN;
    });
  }
  SIMD_INLINE F32 as_f32(const I32& a) {
    return map([&](int i) { return __builtin_bit_cast(float, a.v[i]); });
  }
  SIMD_INLINE I32 as_i32(const F32& a) {
    return imap([&](int i) { return __builtin_bit_cast(std::int32_t, a.v[i]); });
  }

  // --- 64 bytes ---
  SIMD_INLINE U8 load_u8(const void* p) {
    U8 r;
    __builtin_memcpy(r.v, p, 64);
    return r;
  }
  SIMD_INLINE void store_u8(void* p, const U8& a) { __builtin_memcpy(p, a.v, 64); }
  SIMD_INLINE U8 bytes(std::uint8_t x) {
    return umap([=](int) { return unsigned{x}; });
  }
  SIMD_INLINE U8 add_u8(const U8& a, const U8& b) {
    return umap([&](int i) { return unsigned{a.v[i]} + b.v[i]; });
  }
  SIMD_INLINE U8 and_u8(const U8& a, const U8& b) {
    return umap([&](int i) { return unsigned{a.v[i]} & b.v[i]; });
  }
  SIMD_INLINE U8 and_or(const U8& a, const U8& mask, const U8& b) {  // (a & mask) | b
    return umap([&](int i) { return (unsigned{a.v[i]} & mask.v[i]) | b.v[i]; });
  }
  // Bits move right (kBits > 0) or left (< 0), then & mask. Which bits come from a neighbouring byte is not
  // defined: the mask must drop them.
  template <int kBits>
  SIMD_INLINE U8 shift_u8(const U8& a, const U8& mask) {
    return umap([&](int i) {
      return (kBits > 0 ? a.v[i] >> (kBits & 7) : a.v[i] << (-kBits & 7)) & unsigned{mask.v[i]};
    });
  }
  template <int kBits>
  SIMD_INLINE U8 shift_or(const U8& a, const U8& mask, const U8& b) {  // shift_u8(a, mask) | b
    const U8 shifted = shift_u8<kBits>(a, mask);
    return umap([&](int i) { return unsigned{shifted.v[i]} | b.v[i]; });
  }
  SIMD_INLINE U8 load_table(const std::uint8_t* table) {  // 16 entries
    return umap([=](int i) { return unsigned{table[i & 15]}; });
  }
  // Within each 16 bytes; index < 16.
  SIMD_INLINE U8 lookup(const U8& table, const U8& index) {
    return umap([&](int i) { return unsigned{table.v[i / 16 * 16 + index.v[i]]}; });
  }
  // Stores the 16-byte parts i of a, b, c and d side by side at p + i * stride.
  SIMD_INLINE void store_parts(std::byte* p, std::ptrdiff_t stride, const U8& a, const U8& b, const U8& c,
                               const U8& d) {
    for (int i = 0; i < 4; ++i) {
      const U8* const all[4] = {&a, &b, &c, &d};
      for (int k = 0; k < 4; ++k) __builtin_memcpy(p + i * stride + 16 * k, all[k]->v + 16 * i, 16);
    }
  }

  // --- dot products: total[lane] += sum over t < 4 of codes[4 lane + t] * x[t], exact ---
  SIMD_INLINE Quad quad(const std::int8_t* p) { return Quad{{p[0], p[1], p[2], p[3]}}; }
  // kChain: how many steps a 16-bit sum can take for the largest code of the kind; 0 for codes of 8 bits,
  // which sets without kByteDot multiply as (code - 128). Steps are numbered from 0, the last one says so.
  template <int kChain>
  SIMD_INLINE Dot dot_start(const I32& start) {
    return Dot{start};
  }
  template <int kChain>
  SIMD_INLINE void dot_step(Dot& dot, int /*step*/, bool /*last*/, const U8& codes, Quad x) {
    for (int i = 0; i < 16; ++i) {
      std::int32_t total = dot.total.v[i];
      for (int t = 0; t < 4; ++t) total += codes.v[4 * i + t] * x.v[t];
      dot.total.v[i] = total;
    }
  }

  // total[lane] + sum over t < 4 of weights[t] * values[4 lane + t], exact; weights in [0, 127], values
  // signed.
  SIMD_INLINE I32 dot_weights(I32 total, Quad weights, const U8& values) {
    for (int i = 0; i < 16; ++i) {
      for (int t = 0; t < 4; ++t) total.v[i] += weights.v[t] * static_cast<std::int8_t>(values.v[4 * i + t]);
    }
    return total;
  }

  SIMD_INLINE void prefetch(const void*) {}
  SIMD_INLINE void prefetch_far(const void*) {}  // into the second cache

 private:
  template <class Lane>
  SIMD_INLINE F32 map(Lane lane) {
    F32 r;
    for (int i = 0; i < 16; ++i) r.v[i] = lane(i);
    return r;
  }
  template <class Lane>
  SIMD_INLINE I32 imap(Lane lane) {
    I32 r;
    for (int i = 0; i < 16; ++i) r.v[i] = lane(i);
    return r;
  }
  template <class Lane>
  SIMD_INLINE U8 umap(Lane lane) {
    U8 r;
    for (int i = 0; i < 64; ++i) r.v[i] = static_cast<std::uint8_t>(lane(i));
    return r;
  }
  SIMD_INLINE std::uint32_t bits(std::int32_t x) { return static_cast<std::uint32_t>(x); }
  SIMD_INLINE std::uint32_t word(const unsigned char* p) { return p[0] | (std::uint32_t{p[1]} << 8); }
  SIMD_INLINE float half_to_float(std::uint32_t half) {
    const std::uint32_t sign = (half & 0x8000u) << 16;
    const std::uint32_t exponent = (half >> 10) & 31;
    const std::uint32_t mantissa = half & 1023;
    if (exponent == 31) {
      const std::uint32_t quiet = mantissa == 0 ? 0 : 0x400000u;
      return __builtin_bit_cast(float, sign | 0x7f800000u | (mantissa << 13) | quiet);
    }
    if (exponent != 0) return __builtin_bit_cast(float, sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float tiny = static_cast<float>(mantissa) * 0x1p-24f;
    return __builtin_bit_cast(float, sign | __builtin_bit_cast(std::uint32_t, tiny));
  }
  SIMD_INLINE std::uint32_t float_to_half(float x) {
    const auto all = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t sign = (all >> 16) & 0x8000u;
    const std::uint32_t magnitude = all & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7e00u | ((magnitude >> 13) & 1023);
    if (magnitude >= 0x47800000u) return sign | 0x7c00u;
    if (magnitude < 0x38800000u) {  // a multiple of 2^-24: the float adder rounds
      const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
      return sign | (__builtin_bit_cast(std::uint32_t, shifted) - 0x3f000000u);
    }
    return sign | ((magnitude + 0xfffu + ((magnitude >> 13) & 1) - 0x38000000u) >> 13);
  }
};

}  // namespace maestrale::kernels::simd
