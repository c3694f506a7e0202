// The vector set of AVX-512 (F, BW, DQ, VL, VNNI): one register per vector. ref.h says what each
// function means.
#pragma once

// g++ 12 takes the undefined operands inside its own intrinsics for our mistakes.
#ifndef __clang__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <cstdint>

#include "kernels/simd/inline.h"

namespace maestrale::kernels::simd {

struct Avx512 {
  static constexpr const char* kName = "avx512";
  static constexpr bool kByteDot = true;
  static constexpr int kTileRows = 12;
  static constexpr int kDotRows = 6;
  static constexpr int kDotPanels = 2;
  static constexpr int kDirectRows = 8;
  static constexpr int kPairRows = 6;

  using F32 = __m512;
  using I32 = __m512i;
  using U8 = __m512i;
  using Quad = __m512i;
  struct Dot {
    I32 total;
  };

  // --- 16 floats ---
  SIMD_INLINE F32 zero() { return _mm512_setzero_ps(); }
  SIMD_INLINE F32 broadcast(float x) { return _mm512_set1_ps(x); }
  SIMD_INLINE F32 load(const float* p) { return _mm512_loadu_ps(p); }
  SIMD_INLINE void store(float* p, F32 a) { _mm512_storeu_ps(p, a); }
  SIMD_INLINE F32 load_part(const float* p, int n) { return _mm512_maskz_loadu_ps(lanes(n), p); }
  SIMD_INLINE void store_part(float* p, F32 a, int n) { _mm512_mask_storeu_ps(p, lanes(n), a); }
  SIMD_INLINE F32 load_f16(const void* p) { return _mm512_cvtph_ps(load_half(p)); }
  SIMD_INLINE F32 load_bf16(const void* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_half(p)), 16));
  }
  SIMD_INLINE void store_f16(void* p, F32 a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }
  SIMD_INLINE F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
  SIMD_INLINE F32 sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
  SIMD_INLINE F32 mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
  SIMD_INLINE F32 div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
  SIMD_INLINE F32 sqrt(F32 a) { return _mm512_sqrt_ps(a); }
  SIMD_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
  SIMD_INLINE F32 min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
  SIMD_INLINE F32 max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
  SIMD_INLINE F32 abs(F32 a) { return _mm512_abs_ps(a); }
  SIMD_INLINE F32 select_less(F32 a, F32 b, F32 yes, F32 no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  SIMD_INLINE float sum(F32 a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  SIMD_INLINE float largest(F32 a) {
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }

  // --- 16 integers ---
  SIMD_INLINE I32 izero() { return _mm512_setzero_si512(); }
  SIMD_INLINE I32 ibroadcast(std::int32_t x) { return _mm512_set1_epi32(x); }
  SIMD_INLINE I32 load_u8x16(const void* p) { return _mm512_cvtepu8_epi32(load_quarter(p)); }
  SIMD_INLINE I32 load_i8x16(const void* p) { return _mm512_cvtepi8_epi32(load_quarter(p)); }
  SIMD_INLINE void store_i8x16(void* p, I32 a) {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
  }
  SIMD_INLINE I32 iadd(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
  SIMD_INLINE I32 isub(I32 a, I32 b) { return _mm512_sub_epi32(a, b); }
  SIMD_INLINE I32 imax(I32 a, I32 b) { return _mm512_max_epi32(a, b); }
  SIMD_INLINE I32 iand(I32 a, I32 b) { return _mm512_and_si512(a, b); }
  template <int kBits>
  SIMD_INLINE I32 shift_left(I32 a) {
    return _mm512_slli_epi32(a, kBits);
  }
  template <int kBits>
  SIMD_INLINE I32 shift_right(I32 a) {
    return _mm512_srai_epi32(a, kBits);
  }
  SIMD_INLINE std::int32_t isum(I32 a) { return _mm512_reduce_add_epi32(a); }
  SIMD_INLINE std::int32_t ilargest(I32 a) { return _mm512_reduce_max_epi32(a); }
  SIMD_INLINE F32 to_f32(I32 a) { return _mm512_cvtepi32_ps(a); }
  SIMD_INLINE I32 round_i32(F32 a) { return _mm512_cvtps_epi32(a); }
  SIMD_INLINE F32 as_f32(I32 a) { return _mm512_castsi512_ps(a); }
  SIMD_INLINE I32 as_i32(F32 a) { return _mm512_castps_si512(a); }

  // --- 64 bytes ---
  SIMD_INLINE U8 load_u8(const void* p) { return _mm512_loadu_si512(p); }
  SIMD_INLINE void store_u8(void* p, U8 a) { _mm512_storeu_si512(p, a); }
  SIMD_INLINE U8 bytes(std::uint8_t x) { return _mm512_set1_epi8(static_cast<char>(x)); }
  SIMD_INLINE U8 add_u8(U8 a, U8 b) { return _mm512_add_epi8(a, b); }
  SIMD_INLINE U8 and_u8(U8 a, U8 b) { return _mm512_and_si512(a, b); }
  SIMD_INLINE U8 and_or(U8 a, U8 mask, U8 b) { return _mm512_ternarylogic_epi64(a, mask, b, 0xea); }
  template <int kBits>  // positive: right, negative: left
  SIMD_INLINE U8 shift_u8(U8 a, U8 mask) {
    return and_u8(shift16<kBits>(a), mask);
  }
  template <int kBits>
  SIMD_INLINE U8 shift_or(U8 a, U8 mask, U8 b) {
    return and_or(shift16<kBits>(a), mask, b);
  }
  SIMD_INLINE U8 load_table(const std::uint8_t* table) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  }
  SIMD_INLINE U8 lookup(U8 table, U8 index) { return _mm512_shuffle_epi8(table, index); }
  // Stores the 16-byte parts i of a, b, c and d side by side at p + i * stride.
  SIMD_INLINE void store_parts(std::byte* p, std::ptrdiff_t stride, U8 a, U8 b, U8 c, U8 d) {
    const U8 ab_low = _mm512_shuffle_i32x4(a, b, 0x44), ab_high = _mm512_shuffle_i32x4(a, b, 0xee);
    const U8 cd_low = _mm512_shuffle_i32x4(c, d, 0x44), cd_high = _mm512_shuffle_i32x4(c, d, 0xee);
    store_u8(p, _mm512_shuffle_i32x4(ab_low, cd_low, 0x88));
    store_u8(p + stride, _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd));
    store_u8(p + 2 * stride, _mm512_shuffle_i32x4(ab_high, cd_high, 0x88));
    store_u8(p + 3 * stride, _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd));
  }

  // --- dot products ---
  SIMD_INLINE Quad quad(const std::int8_t* p) {
    return _mm512_set1_epi32(*reinterpret_cast<const Unaligned32*>(p));
  }
  template <int kChain>
  SIMD_INLINE Dot dot_start(I32 start) {
    return Dot{start};
  }
  template <int kChain>
  SIMD_INLINE void dot_step(Dot& dot, int /*step*/, bool /*last*/, U8 codes, Quad x) {
    dot.total = _mm512_dpbusd_epi32(dot.total, codes, x);
  }

  SIMD_INLINE I32 dot_weights(I32 total, Quad weights, U8 values) {
    return _mm512_dpbusd_epi32(total, weights, values);
  }

  SIMD_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  SIMD_INLINE void prefetch_far(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

 private:
  using Unaligned32 [[gnu::may_alias, gnu::aligned(1)]] = std::int32_t;

  SIMD_INLINE __mmask16 lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
  SIMD_INLINE __m256i load_half(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  SIMD_INLINE __m128i load_quarter(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  template <int kBits>
  SIMD_INLINE U8 shift16(U8 a) {
    if constexpr (kBits > 0) return _mm512_srli_epi16(a, kBits);
    if constexpr (kBits < 0) return _mm512_slli_epi16(a, -kBits);
    return a;
  }
};

}  // namespace maestrale::kernels::simd
