// For tests: what every block format means, column by column, and the chain of the contract in
// quantised_matmul.h, in the plainest C++. Shares nothing with the panels but the formats' dequantise for the
// lattice types.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/half.h"

namespace maestrale::kernels::oracle {

// One weight: value = code * scale + minimum.
struct Weight {
  int code = 0;
  float scale = 0;
  float minimum = 0;
};

using Bytes = const std::uint8_t*;

inline float half_at(Bytes p) { return f16_to_f32(static_cast<std::uint16_t>(p[0] | p[1] << 8)); }
inline int nibble(Bytes p, int j) { return (p[j % 16] >> (4 * (j / 16))) & 15; }
inline int bit(Bytes p, int i) { return (p[i / 8] >> (i % 8)) & 1; }
inline int field2(Bytes p, int i) { return (p[32 * (i / 128) + i % 32] >> (2 * (i / 32 % 4))) & 3; }

inline Weight super_weight(Bytes p, int i, int code) {
  const int j = i / 32;
  Bytes sc = p + 4;
  const int s = j < 4 ? sc[j] & 63 : (sc[j + 4] & 15) | (sc[j - 4] >> 6) << 4;
  const int m = j < 4 ? sc[j + 4] & 63 : (sc[j + 4] >> 4) | (sc[j] >> 6) << 4;
  return {code, half_at(p) * static_cast<float>(s), -half_at(p + 2) * static_cast<float>(m)};
}

inline int chunk_nibble(Bytes qs, int i) { return (qs[32 * (i / 64) + i % 32] >> (4 * (i / 32 % 2))) & 15; }

inline constexpr int kIQ4[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
inline constexpr int kE2M1[] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

inline Weight q2_k(Bytes p, int i) {
  const int s = p[i / 16];
  return {field2(p + 16, i), half_at(p + 80) * static_cast<float>(s & 15),
          -half_at(p + 82) * static_cast<float>(s >> 4)};
}

inline Weight q3_k(Bytes p, int i) {
  const int high = (p[i % 32] >> (i / 32)) & 1;
  const int j = i / 16;
  Bytes sc = p + 96;
  const int low4 = j < 8 ? sc[j] & 15 : sc[j - 8] >> 4;
  const int high2 = (sc[8 + j % 4] >> (2 * (j / 4))) & 3;
  return {field2(p + 32, i) - (high ? 0 : 4), half_at(p + 108) * static_cast<float>((high2 << 4 | low4) - 32),
          0};
}

inline Weight q6_k(Bytes p, int i) {
  const int n = i / 128;
  const int k = i / 32 % 4;
  const int l = i % 32;
  const int low = (p[64 * n + 32 * (k & 1) + l] >> (4 * (k / 2))) & 15;
  const int high = (p[128 + 32 * n + l] >> (2 * k)) & 3;
  const auto factor = static_cast<std::int8_t>(p[192 + i / 16]);
  return {(low | high << 4) - 32, half_at(p + 208) * static_cast<float>(factor), 0};
}

inline Weight iq4_xs(Bytes p, int i) {
  const int b = i / 32;
  const int low = (p[4 + b / 2] >> (4 * (b % 2))) & 15;
  const int high = ((p[2] | p[3] << 8) >> (2 * b)) & 3;
  return {kIQ4[nibble(p + 8 + 16 * b, i % 32)], half_at(p) * static_cast<float>((low | high << 4) - 32), 0};
}

inline Weight nvfp4(Bytes p, int i) {
  const int g = i / 16;
  const int e = (p[g] >> 3) & 15;
  const int mantissa = p[g] & 7;
  const float scale = (p[g] & 127) == 127 ? 0.0f
                      : e == 0            ? std::ldexp(static_cast<float>(mantissa), -9)
                                          : std::ldexp(static_cast<float>(8 + mantissa), e - 10);
  const int code = (p[4 + 8 * g + i % 8] >> (4 * (i / 8 % 2))) & 15;
  return {kE2M1[code], scale * 0.5f, 0};
}

// Scales of the lattice types, by column; the codes come from the value.
inline float iq1_m_scale(Bytes p, int i) {
  const int d = p[49] >> 4 | (p[51] >> 4) << 4 | (p[53] >> 4) << 8 | (p[55] >> 4) << 12;
  const int word = p[48 + 2 * (i / 64)] | p[49 + 2 * (i / 64)] << 8;
  const int s = (word >> (3 * (i / 16 % 4))) & 7;
  return f16_to_f32(static_cast<std::uint16_t>(d)) * static_cast<float>(2 * s + 1) / 8;
}

inline float iq2_scale(Bytes p, Bytes scales, int i) {
  return half_at(p) * (0.5f + static_cast<float>((scales[i / 32] >> (4 * (i / 16 % 2))) & 15)) / 4;
}

struct Format {
  std::string_view name;
  int halves;                                   // 2: a scale per 16 columns
  std::vector<int> f16_at;                      // where random bytes must be kept a sane f16
  std::function<Weight(Bytes, int)> weight;     // or
  std::function<float(Bytes, int)> scale = {};  // with dequantise
};

// Types whose codes can be written down column by column.
inline std::vector<Format> code_formats() {
  return {
      {"q4_0",
       1,
       {0},
       [](Bytes p, int i) {
         return Weight{nibble(p + 2, i) - 8, half_at(p), 0};
       }},
      {"q4_1",
       1,
       {0, 2},
       [](Bytes p, int i) {
         return Weight{nibble(p + 4, i), half_at(p), half_at(p + 2)};
       }},
      {"q5_0",
       1,
       {0},
       [](Bytes p, int i) {
         return Weight{(nibble(p + 6, i) | bit(p + 2, i) << 4) - 16, half_at(p), 0};
       }},
      {"q5_1",
       1,
       {0, 2},
       [](Bytes p, int i) {
         return Weight{nibble(p + 8, i) | bit(p + 4, i) << 4, half_at(p), half_at(p + 2)};
       }},
      {"q8_0",
       1,
       {0},
       [](Bytes p, int i) {
         return Weight{static_cast<std::int8_t>(p[2 + i]), half_at(p), 0};
       }},
      {"q2_k", 2, {80, 82}, q2_k},
      {"q3_k", 2, {108}, q3_k},
      {"q4_k", 1, {0, 2}, [](Bytes p, int i) { return super_weight(p, i, chunk_nibble(p + 16, i)); }},
      {"q5_k",
       1,
       {0, 2},
       [](Bytes p, int i) {
         return super_weight(p, i, chunk_nibble(p + 48, i) | ((p[16 + i % 32] >> (i / 32)) & 1) << 4);
       }},
      {"q6_k", 2, {208}, q6_k},
      {"iq4_nl",
       1,
       {0},
       [](Bytes p, int i) {
         return Weight{kIQ4[nibble(p + 2, i)], half_at(p), 0};
       }},
      {"iq4_xs", 1, {0}, iq4_xs},
      {"mxfp4",
       1,
       {},
       [](Bytes p, int i) {
         return Weight{kE2M1[nibble(p + 1, i)], std::ldexp(1.0f, p[0] - 128), 0};
       }},
      {"nvfp4", 2, {}, nvfp4},
      {"tq2_0",
       2,
       {64},
       [](Bytes p, int i) {
         return Weight{field2(p, i) - 1, half_at(p + 64), 0};
       }},
      {"q1_0",
       2,
       {0},
       [](Bytes p, int i) {
         return Weight{2 * bit(p + 2, i) - 1, half_at(p), 0};
       }},
      {"q2_0",
       2,
       {0},
       [](Bytes p, int i) {
         return Weight{((p[2 + i / 4] >> (2 * (i % 4))) & 3) - 1, half_at(p), 0};
       }},
  };
}

// Types whose codes come from a table: only the scale is written down here.
inline std::vector<Format> lattice_formats() {
  const auto f = [](int x) { return static_cast<float>(x); };
  return {
      {"iq1_s",
       2,
       {0},
       nullptr,
       [f](Bytes p, int i) { return half_at(p) * f(2 * ((p[35 + 2 * (i / 32)] >> 4) & 7) + 1) / 8; }},
      {"iq1_m", 2, {}, nullptr, iq1_m_scale},
      {"iq2_xxs",
       2,
       {0},
       nullptr,
       [f](Bytes p, int i) { return half_at(p) * (0.5f + f(p[9 + 8 * (i / 32)] >> 4)) / 4; }},
      {"iq2_xs", 2, {0}, nullptr, [](Bytes p, int i) { return iq2_scale(p, p + 66, i); }},
      {"iq2_s", 2, {0}, nullptr, [](Bytes p, int i) { return iq2_scale(p, p + 74, i); }},
      {"iq3_xxs",
       2,
       {0},
       nullptr,
       [f](Bytes p, int i) { return half_at(p) * (0.5f + f(p[69 + 4 * (i / 32)] >> 4)) / 2; }},
      {"iq3_s",
       2,
       {0},
       nullptr,
       [f](Bytes p, int i) {
         return half_at(p) * f(1 + 2 * ((p[106 + i / 64] >> (4 * (i / 32 % 2))) & 15));
       }},
      {"tq1_0", 2, {52}, nullptr, [](Bytes p, int) { return half_at(p + 52); }},
  };
}

inline std::vector<Format> formats() {
  std::vector<Format> all = code_formats();
  for (Format& format : lattice_formats()) all.push_back(std::move(format));
  return all;
}

inline std::vector<Weight> weights(const Format& format, const FormatTraits& facts, Bytes row, int columns) {
  std::vector<Weight> out(static_cast<std::size_t>(columns));
  std::vector<float> values(static_cast<std::size_t>(columns));
  facts.dequantise(reinterpret_cast<const std::byte*>(row), values.data(), columns);
  for (int c = 0; c < columns; ++c) {
    Bytes block = row + c / facts.block_elements * facts.block_bytes;
    Weight& weight = out[static_cast<std::size_t>(c)];
    if (format.weight) {
      weight = format.weight(block, c % facts.block_elements);
    } else {
      weight.scale = format.scale(block, c % facts.block_elements);
      weight.code = static_cast<int>(std::lround(values[static_cast<std::size_t>(c)] / weight.scale));
    }
  }
  return out;
}

// A row of activations in blocks of 32.
struct Activations {
  std::vector<int> codes;
  std::vector<float> scales;
};

inline Activations quantise(const float* x, int columns) {
  Activations out;
  for (int b = 0; b < columns / 32; ++b) {
    float largest = 0;
    for (int i = 0; i < 32; ++i) largest = std::fmax(largest, std::fabs(x[32 * b + i]));
    const float scale = largest / 127.0f;
    out.scales.push_back(scale);
    for (int i = 0; i < 32; ++i) {
      const float inverse = scale == 0 ? 0.0f : 1.0f / scale;
      const float code = std::nearbyint(x[32 * b + i] * inverse);
      out.codes.push_back(static_cast<int>(std::fmin(std::fmax(code, -127.0f), 127.0f)));
    }
  }
  return out;
}

inline float chain(const Format& format, const std::vector<Weight>& w, const Activations& x) {
  float acc = 0;
  const bool has_minimum = format.name == "q4_1" || format.name == "q5_1" || format.name == "q2_k" ||
                           format.name == "q4_k" || format.name == "q5_k";
  for (std::size_t b = 0; b < x.scales.size(); ++b) {
    int dots[2] = {};
    int sums[2] = {};
    for (std::size_t i = 0; i < 32; ++i) {
      dots[i / 16] += w[32 * b + i].code * x.codes[32 * b + i];
      sums[i / 16] += x.codes[32 * b + i];
    }
    const Weight& first = w[32 * b];
    const Weight& second = w[32 * b + 16];
    const float a = x.scales[b];
    float t = static_cast<float>(dots[0] + dots[1]) * first.scale;
    if (format.halves == 2) {
      t = std::fmaf(static_cast<float>(dots[1]), second.scale, static_cast<float>(dots[0]) * first.scale);
    }
    acc = std::fmaf(t, a, acc);
    if (!has_minimum) continue;
    if (format.halves == 1) {
      acc = std::fmaf(first.minimum, a * static_cast<float>(sums[0] + sums[1]), acc);
    } else {
      acc = std::fmaf(first.minimum, a * static_cast<float>(sums[0]), acc);
      acc = std::fmaf(second.minimum, a * static_cast<float>(sums[1]), acc);
    }
  }
  return acc;
}

}  // namespace maestrale::kernels::oracle
