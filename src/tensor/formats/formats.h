// The conversions of every storage type: one line per type here, one file per family beside it. dtype.cpp
// builds the traits table from these lines and formats.def.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace maestrale {

struct Conversions {
  decltype(FormatTraits::dequantise) dequantise = nullptr;
  decltype(FormatTraits::quantise) quantise = nullptr;
};

// Integer index types have neither.
template <DType dtype>
inline constexpr Conversions kConversions = {};

// A type that is read only: declares dequantise_NAME.
#define FORMAT_READ(id, name)                                     \
  void dequantise_##name(const std::byte*, float*, std::int64_t); \
  template <>                                                     \
  inline constexpr Conversions kConversions<DType::k##id> = {dequantise_##name, nullptr};

// A type that is read and written: declares dequantise_NAME and quantise_NAME.
#define FORMAT_READ_WRITE(id, name)                                           \
  void dequantise_##name(const std::byte*, float*, std::int64_t);             \
  void quantise_##name(const float*, const float*, std::byte*, std::int64_t); \
  template <>                                                                 \
  inline constexpr Conversions kConversions<DType::k##id> = {dequantise_##name, quantise_##name};

FORMAT_READ_WRITE(F32, f32)
FORMAT_READ_WRITE(F16, f16)
FORMAT_READ_WRITE(BF16, bf16)
FORMAT_READ_WRITE(F64, f64)
FORMAT_READ_WRITE(F8E4M3, f8_e4m3)
FORMAT_READ_WRITE(Q4_0, q4_0)
FORMAT_READ_WRITE(Q4_1, q4_1)
FORMAT_READ_WRITE(Q5_0, q5_0)
FORMAT_READ_WRITE(Q5_1, q5_1)
FORMAT_READ_WRITE(Q8_0, q8_0)
FORMAT_READ_WRITE(Q2_K, q2_k)
FORMAT_READ_WRITE(Q3_K, q3_k)
FORMAT_READ_WRITE(Q4_K, q4_k)
FORMAT_READ_WRITE(Q5_K, q5_k)
FORMAT_READ_WRITE(Q6_K, q6_k)
FORMAT_READ(IQ2_XXS, iq2_xxs)
FORMAT_READ(IQ2_XS, iq2_xs)
FORMAT_READ(IQ2_S, iq2_s)
FORMAT_READ(IQ3_XXS, iq3_xxs)
FORMAT_READ(IQ3_S, iq3_s)
FORMAT_READ(IQ1_S, iq1_s)
FORMAT_READ(IQ1_M, iq1_m)
FORMAT_READ_WRITE(IQ4_NL, iq4_nl)
FORMAT_READ_WRITE(IQ4_XS, iq4_xs)
FORMAT_READ_WRITE(TQ1_0, tq1_0)
FORMAT_READ_WRITE(TQ2_0, tq2_0)
FORMAT_READ_WRITE(MXFP4, mxfp4)
FORMAT_READ(NVFP4, nvfp4)
FORMAT_READ_WRITE(Q1_0, q1_0)
FORMAT_READ_WRITE(Q2_0, q2_0)

#undef FORMAT_READ
#undef FORMAT_READ_WRITE

}  // namespace maestrale
