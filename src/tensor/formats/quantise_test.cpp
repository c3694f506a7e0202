// Properties of every quantiser that need no golden data: edge cases, importance weights, exact round trips.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/formats/fp8.h"
#include "tensor/half.h"

namespace maestrale {
namespace {

std::vector<float> round_trip(const FormatTraits& format, const std::vector<float>& values,
                              const float* importance = nullptr) {
  const auto n = static_cast<std::int64_t>(values.size());
  std::vector<std::byte> blocks(storage_bytes(format.dtype, n).value());
  format.quantise(values.data(), importance, blocks.data(), n);
  std::vector<float> out(values.size());
  format.dequantise(blocks.data(), out.data(), n);
  return out;
}

// A fixed sequence with mean 0 and tails, no two values alike.
std::vector<float> samples(std::size_t n) {
  std::vector<float> values(n);
  std::uint32_t state = 12345;
  for (float& value : values) {
    float sum = 0;
    for (int k = 0; k < 6; ++k) {
      state = state * 1664525u + 1013904223u;
      sum += static_cast<float>(state >> 8) * 0x1.0p-24f - 0.5f;
    }
    value = sum;
  }
  return values;
}

double weighted_error(const std::vector<float>& got, const std::vector<float>& values,
                      const std::vector<float>& weights) {
  double error = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = static_cast<double>(got[i]) - static_cast<double>(values[i]);
    error += static_cast<double>(weights[i]) * difference * difference;
  }
  return error;
}

TEST(Quantise, ZerosStayZero) {
  for (const FormatTraits& format : all_formats()) {
    if (format.quantise == nullptr) continue;
    const std::vector<float> zeros(512, 0.0f), weights(512, 0.0f);
    for (const float value : round_trip(format, zeros)) ASSERT_EQ(value, 0.0f) << format.name;
    for (const float value : round_trip(format, zeros, weights.data())) ASSERT_EQ(value, 0.0f) << format.name;
  }
}

TEST(Quantise, ExtremeInputsGiveFiniteValues) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::vector<float>> fills = {
      {kInf},          {-kInf},           {kInf, -kInf},  {kNan},        {kNan, 1},
      {3e38f, -3e38f}, {1e-45f, -2e-45f}, {1e-40f},       {kInf, 1, -1}, {1e30f, 1e-30f},
      {-3e38f},        {7e4f, -1e5f, 3},  {1e-7f, -2e-7f}};
  for (const FormatTraits& format : all_formats()) {
    if (format.quantise == nullptr || format.block_elements == 1) continue;
    for (const std::vector<float>& fill : fills) {
      std::vector<float> values(512);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = fill[i % fill.size()];
      for (const bool guided : {false, true}) {
        for (const float value : round_trip(format, values, guided ? values.data() : nullptr)) {
          ASSERT_TRUE(std::isfinite(value)) << format.name << " of " << fill[0];
        }
      }
    }
  }
}

TEST(Quantise, ConstantBlocksAreCloseToTheConstant) {
  for (const FormatTraits& format : all_formats()) {
    if (format.quantise == nullptr) continue;
    for (const float constant : {1.0f, -1.0f, 0.37f, -300.0f}) {
      const float tolerance = format.name == "mxfp4" ? 0.26f : 0.08f;
      for (const float value : round_trip(format, std::vector<float>(256, constant))) {
        ASSERT_NEAR(value, constant, tolerance * std::fabs(constant)) << format.name;
      }
    }
  }
}

TEST(Quantise, ImportanceLowersTheWeightedError) {
  const std::vector<float> values = samples(4096);
  std::vector<float> weights(values.size());
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = i % 7 == 0 ? 50.0f : i % 3 == 0 ? 1.0f : 0.1f;
  for (const FormatTraits& format : all_formats()) {
    if (format.quantise == nullptr) continue;
    const double plain = weighted_error(round_trip(format, values), values, weights);
    const double guided = weighted_error(round_trip(format, values, weights.data()), values, weights);
    EXPECT_LE(guided, plain) << format.name;
  }
}

TEST(Quantise, HalfFloatsRoundTripExactly) {
  std::vector<float> every(65536);
  std::vector<std::uint16_t> halves(65536), back(65536);
  for (std::size_t i = 0; i < every.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const FormatTraits& format = traits(dtype);
    format.dequantise(reinterpret_cast<const std::byte*>(halves.data()), every.data(), 65536);
    format.quantise(every.data(), nullptr, reinterpret_cast<std::byte*>(back.data()), 65536);
    for (std::size_t i = 0; i < every.size(); ++i) {
      if (std::isnan(every[i])) continue;
      if (dtype == DType::kF16) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(every[i]),
                  std::bit_cast<std::uint32_t>(f16_to_f32(halves[i])));
      }
      ASSERT_EQ(halves[i], back[i]) << format.name;
    }
  }
}

TEST(Quantise, Fp8RoundsToNearestEvenAndSaturates) {
  for (unsigned code = 0; code < 256; ++code) {
    const float value = f8_e4m3_to_f32(static_cast<std::uint8_t>(code));
    EXPECT_EQ(f32_to_f8_e4m3(value), code);
    if ((code & 0x7f) >= 0x7e) continue;
    const float next = f8_e4m3_to_f32(static_cast<std::uint8_t>(code + 1));
    const float middle = (value + next) / 2;
    EXPECT_EQ(f32_to_f8_e4m3(middle), (code + 1) & ~1u);
    EXPECT_EQ(f32_to_f8_e4m3(std::nextafter(middle, value)), code);
    EXPECT_EQ(f32_to_f8_e4m3(std::nextafter(middle, next)), code + 1);
  }
  EXPECT_EQ(f8_e4m3_to_f32(0x7e), 448.0f);
  EXPECT_EQ(f8_e4m3_to_f32(0x01), 0x1.0p-9f);
  EXPECT_EQ(f32_to_f8_e4m3(1e9f), 0x7e);
  EXPECT_EQ(f32_to_f8_e4m3(-std::numeric_limits<float>::infinity()), 0xfe);
  EXPECT_TRUE(std::isnan(f8_e4m3_to_f32(0xff)));
}

}  // namespace
}  // namespace maestrale
