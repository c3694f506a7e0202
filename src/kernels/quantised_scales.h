// How the scales of a group lie behind its codes, and how they become 16 floats. Freestanding.
//
// A Scales type has: kBytes of a group; kHalves, 2 where 16 columns share a scale and 1 where 32 do; kMin, if
// there are minimums; Reader<V>, made at the scales of a group, with scale(block, half) and, under kMin,
// minimum(block, half): what the sum of the activations is multiplied by.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/panel_layout.h"
#include "kernels/simd/inline.h"

namespace maestrale::kernels {

// f16 per row and block; then, under kMin, as many f16 minimums.
template <int kBlocks, bool kMin_>
struct HalfScales {
  static constexpr int kPlane = kBlocks * 2 * kPanelRows;
  static constexpr int kBytes = kPlane * (kMin_ ? 2 : 1);
  static constexpr int kHalves = 1;
  static constexpr bool kMin = kMin_;
  template <class V>
  struct Reader {
    [[gnu::always_inline]] explicit Reader(const std::uint8_t* scales) : scales_(scales) {}
    [[gnu::always_inline]] typename V::F32 scale(int block, int /*half*/) const {
      return V::load_f16(scales_ + block * 2 * kPanelRows);
    }
    [[gnu::always_inline]] typename V::F32 minimum(int block, int /*half*/) const {
      return V::load_f16(scales_ + kPlane + block * 2 * kPanelRows);
    }
    const std::uint8_t* scales_;
  };
};

// Super-blocks of 256: 6-bit scales S and minimums M of 8 blocks, f16 d and dmin; scale d S, minimum -(dmin
// M). 64 bytes S low, 64 bytes M low: [block p < 4][row], low nibble block p, high nibble block p + 4. 64
// bytes of upper bits, likewise: bits 0-1 S of p, 2-3 S of p + 4, 4-5 M of p, 6-7 M of p + 4. Then d, dmin.
struct SuperScales {
  static constexpr int kBytes = 256;
  static constexpr int kHalves = 1;
  static constexpr bool kMin = true;
  template <class V>
  struct Reader {
    [[gnu::always_inline]] explicit Reader(const std::uint8_t* p)
        : d_(V::load_f16(p + 192)), dmin_(V::sub(V::zero(), V::load_f16(p + 224))) {
      const auto low = V::bytes(15);
      const auto high = V::bytes(48);
      const auto s = V::load_u8(p);
      const auto m = V::load_u8(p + 64);
      const auto upper = V::load_u8(p + 128);
      V::store_u8(s_, V::template shift_or<-4>(upper, high, V::and_u8(s, low)));
      V::store_u8(s_ + 64, V::template shift_or<-2>(upper, high, V::template shift_u8<4>(s, low)));
      V::store_u8(m_, V::and_or(upper, high, V::and_u8(m, low)));
      V::store_u8(m_ + 64, V::template shift_or<2>(upper, high, V::template shift_u8<4>(m, low)));
    }
    [[gnu::always_inline]] typename V::F32 scale(int block, int /*half*/) const {
      return V::mul(d_, V::to_f32(V::load_u8x16(s_ + block * kPanelRows)));
    }
    [[gnu::always_inline]] typename V::F32 minimum(int block, int /*half*/) const {
      return V::mul(dmin_, V::to_f32(V::load_u8x16(m_ + block * kPanelRows)));
    }
    typename V::F32 d_;
    typename V::F32 dmin_;
    alignas(64) std::uint8_t s_[128];
    alignas(64) std::uint8_t m_[128];
  };
};

// Super-blocks of 256: int8 factors [8 * kHalves_][row], then f32 d; scale = d * factor.
template <int kHalves_>
struct FactorScales {
  static constexpr int kBytes = 8 * kHalves_ * kPanelRows + 4 * kPanelRows;
  static constexpr int kHalves = kHalves_;
  static constexpr bool kMin = false;
  template <class V>
  struct Reader {
    [[gnu::always_inline]] explicit Reader(const std::uint8_t* scales)
        : d_(V::load(reinterpret_cast<const float*>(scales + 8 * kHalves_ * kPanelRows))), scales_(scales) {}
    [[gnu::always_inline]] typename V::F32 scale(int block, int half) const {
      return V::mul(d_, V::to_f32(V::load_i8x16(scales_ + (block * kHalves_ + half) * kPanelRows)));
    }
    typename V::F32 d_;
    const std::uint8_t* scales_;
  };
};

// Super-blocks of 256: bytes [16][row] with a 4-bit scale (low) and minimum (high) per 16 columns, f16 d,
// dmin.
struct NibbleScales {
  static constexpr int kBytes = 16 * kPanelRows + 4 * kPanelRows;
  static constexpr int kHalves = 2;
  static constexpr bool kMin = true;
  template <class V>
  struct Reader {
    [[gnu::always_inline]] explicit Reader(const std::uint8_t* scales)
        : d_(V::load_f16(scales + 256)),
          dmin_(V::sub(V::zero(), V::load_f16(scales + 288))),
          scales_(scales) {}
    [[gnu::always_inline]] typename V::F32 scale(int block, int half) const {
      const auto both = V::load_u8x16(scales_ + (2 * block + half) * kPanelRows);
      return V::mul(d_, V::to_f32(V::iand(both, V::ibroadcast(15))));
    }
    [[gnu::always_inline]] typename V::F32 minimum(int block, int half) const {
      const auto both = V::load_u8x16(scales_ + (2 * block + half) * kPanelRows);
      return V::mul(dmin_, V::to_f32(V::template shift_right<4>(both)));
    }
    typename V::F32 d_;
    typename V::F32 dmin_;
    const std::uint8_t* scales_;
  };
};

// A byte e per row and block: 2^(e - 128), as the product of two powers that are normal numbers.
template <int kBlocks>
struct ExponentScales {
  static constexpr int kBytes = kBlocks * kPanelRows;
  static constexpr int kHalves = 1;
  static constexpr bool kMin = false;
  template <class V>
  struct Reader {
    [[gnu::always_inline]] explicit Reader(const std::uint8_t* scales) : scales_(scales) {}
    [[gnu::always_inline]] typename V::F32 scale(int block, int /*half*/) const {
      const auto e = V::load_u8x16(scales_ + block * kPanelRows);
      const auto first = V::template shift_right<1>(e);
      return V::mul(power(first), power(V::isub(e, first)));
    }
    // 2^(x - 64)
    [[gnu::always_inline]] static typename V::F32 power(typename V::I32 x) {
      return V::as_f32(V::template shift_left<23>(V::iadd(x, V::ibroadcast(63))));
    }
    const std::uint8_t* scales_;
  };
};

// f32 [block][half][row].
template <int kBlocks>
struct FloatScales {
  static constexpr int kBytes = kBlocks * 2 * 4 * kPanelRows;
  static constexpr int kHalves = 2;
  static constexpr bool kMin = false;
  template <class V>
  struct Reader {
    [[gnu::always_inline]] explicit Reader(const std::uint8_t* scales)
        : scales_(reinterpret_cast<const float*>(scales)) {}
    [[gnu::always_inline]] typename V::F32 scale(int block, int half) const {
      return V::load(scales_ + (2 * block + half) * kPanelRows);
    }
    const float* scales_;
  };
};

}  // namespace maestrale::kernels
