// The vector set of AVX2, FMA and F16C: two registers per vector. ref.h says what each function means.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/simd/inline.h"

namespace maestrale::kernels::simd {

struct Avx2 {
  static constexpr const char* kName = "avx2";
  static constexpr bool kByteDot = false;
  static constexpr int kTileRows = 3;
  static constexpr int kDotRows = 6;
  static constexpr int kDotPanels = 1;
  static constexpr int kDirectRows = 2;
  static constexpr int kPairRows = 0;

  struct F32 {
    __m256 a, b;
  };
  struct I32 {
    __m256i a, b;
  };
  using U8 = I32;
  using Quad = __m256i;
  struct Dot {
    I32 total;
    I32 part;  // 16-bit sums of at most kChain steps
  };

  // --- 16 floats ---
  SIMD_INLINE F32 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  SIMD_INLINE F32 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  SIMD_INLINE F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  SIMD_INLINE void store(float* p, F32 x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
  }
  SIMD_INLINE F32 load_part(const float* p, int n) {
    return {_mm256_maskload_ps(p, lanes(n)),
            n > 8 ? _mm256_maskload_ps(p + 8, lanes(n - 8)) : _mm256_setzero_ps()};
  }
  SIMD_INLINE void store_part(float* p, F32 x, int n) {
    _mm256_maskstore_ps(p, lanes(n), x.a);
    if (n > 8) _mm256_maskstore_ps(p + 8, lanes(n - 8), x.b);
  }
  SIMD_INLINE F32 load_f16(const void* p) {
    return {_mm256_cvtph_ps(load_128(p, 0)), _mm256_cvtph_ps(load_128(p, 16))};
  }
  SIMD_INLINE F32 load_bf16(const void* p) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(p, 0)), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(p, 16)), 16))};
  }
  SIMD_INLINE void store_f16(void* p, F32 x) {
    store_128(p, 0, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    store_128(p, 16, _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
  }
  SIMD_INLINE F32 add(F32 x, F32 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
  SIMD_INLINE F32 sub(F32 x, F32 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
  SIMD_INLINE F32 mul(F32 x, F32 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
  SIMD_INLINE F32 div(F32 x, F32 y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
  SIMD_INLINE F32 sqrt(F32 x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
  SIMD_INLINE F32 fma(F32 x, F32 y, F32 z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }
  SIMD_INLINE F32 min(F32 x, F32 y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
  SIMD_INLINE F32 max(F32 x, F32 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
  SIMD_INLINE F32 abs(F32 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
  }
  SIMD_INLINE F32 select_less(F32 x, F32 y, F32 yes, F32 no) {
    return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
  }
  SIMD_INLINE float sum(F32 x) {
    const __m256 eight = _mm256_add_ps(x.a, x.b);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  SIMD_INLINE float largest(F32 x) {
    const __m256 eight = _mm256_max_ps(x.a, x.b);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }

  // --- 16 integers ---
  SIMD_INLINE I32 izero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  SIMD_INLINE I32 ibroadcast(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  SIMD_INLINE I32 load_u8x16(const void* p) {
    const __m128i x = load_128(p, 0);
    return {_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))};
  }
  SIMD_INLINE I32 load_i8x16(const void* p) {
    const __m128i x = load_128(p, 0);
    return {_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))};
  }
  SIMD_INLINE void store_i8x16(void* p, I32 x) {
    const __m256i low_bytes = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0,
                                               4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    store_128(p, 0,
              _mm_unpacklo_epi64(join_words(_mm256_shuffle_epi8(x.a, low_bytes)),
                                 join_words(_mm256_shuffle_epi8(x.b, low_bytes))));
  }
  SIMD_INLINE I32 iadd(I32 x, I32 y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
  SIMD_INLINE I32 isub(I32 x, I32 y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
  SIMD_INLINE I32 imax(I32 x, I32 y) { return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)}; }
  SIMD_INLINE I32 iand(I32 x, I32 y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
  template <int kBits>
  SIMD_INLINE I32 shift_left(I32 x) {
    return {_mm256_slli_epi32(x.a, kBits), _mm256_slli_epi32(x.b, kBits)};
  }
  template <int kBits>
  SIMD_INLINE I32 shift_right(I32 x) {
    return {_mm256_srai_epi32(x.a, kBits), _mm256_srai_epi32(x.b, kBits)};
  }
  SIMD_INLINE std::int32_t isum(I32 x) {
    const __m256i eight = _mm256_add_epi32(x.a, x.b);
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
  }
  SIMD_INLINE std::int32_t ilargest(I32 x) {
    const __m256i eight = _mm256_max_epi32(x.a, x.b);
    const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
  }
  SIMD_INLINE F32 to_f32(I32 x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
  SIMD_INLINE I32 round_i32(F32 x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
  SIMD_INLINE F32 as_f32(I32 x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
  SIMD_INLINE I32 as_i32(F32 x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }

  // --- 64 bytes ---
  SIMD_INLINE U8 load_u8(const void* p) {
    const auto* q = static_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
  }
  SIMD_INLINE void store_u8(void* p, U8 x) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), x.a);
    _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, x.b);
  }
  SIMD_INLINE U8 bytes(std::uint8_t x) {
    const __m256i all = _mm256_set1_epi8(static_cast<char>(x));
    return {all, all};
  }
  SIMD_INLINE U8 add_u8(U8 x, U8 y) { return {_mm256_add_epi8(x.a, y.a), _mm256_add_epi8(x.b, y.b)}; }
  SIMD_INLINE U8 and_u8(U8 x, U8 y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
  SIMD_INLINE U8 and_or(U8 x, U8 mask, U8 y) {
    return {_mm256_or_si256(_mm256_and_si256(x.a, mask.a), y.a),
            _mm256_or_si256(_mm256_and_si256(x.b, mask.b), y.b)};
  }
  template <int kBits>
  SIMD_INLINE U8 shift_u8(U8 x, U8 mask) {
    return and_u8({shift16<kBits>(x.a), shift16<kBits>(x.b)}, mask);
  }
  template <int kBits>
  SIMD_INLINE U8 shift_or(U8 x, U8 mask, U8 y) {
    return and_or({shift16<kBits>(x.a), shift16<kBits>(x.b)}, mask, y);
  }
  SIMD_INLINE U8 load_table(const std::uint8_t* table) {
    const __m256i both = _mm256_broadcastsi128_si256(load_128(table, 0));
    return {both, both};
  }
  SIMD_INLINE U8 lookup(U8 table, U8 index) {
    return {_mm256_shuffle_epi8(table.a, index.a), _mm256_shuffle_epi8(table.b, index.b)};
  }
  // Stores the 16-byte parts i of x, y, z and w side by side at p + i * stride.
  SIMD_INLINE void store_parts(std::byte* p, std::ptrdiff_t stride, U8 x, U8 y, U8 z, U8 w) {
    store_u8(p, {_mm256_permute2x128_si256(x.a, y.a, 0x20), _mm256_permute2x128_si256(z.a, w.a, 0x20)});
    store_u8(p + stride,
             {_mm256_permute2x128_si256(x.a, y.a, 0x31), _mm256_permute2x128_si256(z.a, w.a, 0x31)});
    store_u8(p + 2 * stride,
             {_mm256_permute2x128_si256(x.b, y.b, 0x20), _mm256_permute2x128_si256(z.b, w.b, 0x20)});
    store_u8(p + 3 * stride,
             {_mm256_permute2x128_si256(x.b, y.b, 0x31), _mm256_permute2x128_si256(z.b, w.b, 0x31)});
  }

  // --- dot products ---
  SIMD_INLINE Quad quad(const std::int8_t* p) {
    return _mm256_set1_epi32(*reinterpret_cast<const Unaligned32*>(p));
  }
  template <int kChain>
  SIMD_INLINE Dot dot_start(I32 start) {
    return Dot{start, izero()};
  }
  template <int kChain>
  SIMD_INLINE void dot_step(Dot& dot, int step, bool last, U8 codes, Quad x) {
    const I32 product = kChain == 0 ? I32{signed_products(codes.a, x), signed_products(codes.b, x)}
                                    : I32{_mm256_maddubs_epi16(codes.a, x), _mm256_maddubs_epi16(codes.b, x)};
    constexpr int kSteps = kChain == 0 ? 1 : kChain;
    dot.part = step % kSteps == 0
                   ? product
                   : I32{_mm256_add_epi16(dot.part.a, product.a), _mm256_add_epi16(dot.part.b, product.b)};
    // Sums stay sums: the compiler would make all products first, and store them for want of registers.
    asm("" : "+x"(dot.part.a), "+x"(dot.part.b));
    if (!last && step % kSteps != kSteps - 1) return;
    const __m256i ones = _mm256_set1_epi16(1);
    dot.total = iadd(dot.total, {_mm256_madd_epi16(dot.part.a, ones), _mm256_madd_epi16(dot.part.b, ones)});
    if constexpr (kChain == 0) asm("" : "+x"(dot.total.a), "+x"(dot.total.b));
  }

  SIMD_INLINE I32 dot_weights(I32 total, Quad weights, U8 values) {
    const __m256i ones = _mm256_set1_epi16(1);
    return iadd(total, {_mm256_madd_epi16(_mm256_maddubs_epi16(weights, values.a), ones),
                        _mm256_madd_epi16(_mm256_maddubs_epi16(weights, values.b), ones)});
  }

  SIMD_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  SIMD_INLINE void prefetch_far(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

 private:
  using Unaligned32 [[gnu::may_alias, gnu::aligned(1)]] = std::int32_t;

  SIMD_INLINE __m256i lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  SIMD_INLINE __m128i load_128(const void* p, int offset) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const char*>(p) + offset));
  }
  SIMD_INLINE void store_128(void* p, int offset, __m128i x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(static_cast<char*>(p) + offset), x);
  }
  // The first 4 bytes of each half, side by side.
  SIMD_INLINE __m128i join_words(__m256i x) {
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  }
  // Pairs of (code - 128) * x; neither factor's magnitude exceeds 128 and 127, so 16 bits hold the sum of
  // two.
  SIMD_INLINE __m256i signed_products(__m256i codes, __m256i x) {
    const __m256i value = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(value), _mm256_sign_epi8(x, value));
  }
  template <int kBits>
  SIMD_INLINE __m256i shift16(__m256i x) {
    if constexpr (kBits > 0) return _mm256_srli_epi16(x, kBits);
    if constexpr (kBits < 0) return _mm256_slli_epi16(x, -kBits);
    return x;
  }
};

}  // namespace maestrale::kernels::simd
