#include "kernels/float_matmul.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <tuple>

#include "kernels/dispatch.h"
#include "kernels/test_support.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

namespace maestrale::kernels {
namespace {

constexpr float kUntouched = 12345.0f;
constexpr std::int64_t kScaleBlock = 24;

// Panels with known values; `values` is [rows][columns].
struct Weights {
  FloatLayout layout;
  int rows = 0, columns = 0;
  Buffer panels{0};
  std::vector<float> values;
};

// Writes one element in `kind` and returns the value it stands for (FP8: without its scale).
float put(FloatKind kind, float value, std::byte* panel, std::size_t index) {
  if (kind == FloatKind::kF32) {
    std::memcpy(panel + index * 4, &value, 4);
    return value;
  }
  if (kind == FloatKind::kFp8) {
    const auto code = static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(value) >> 7);
    panel[index] = static_cast<std::byte>((code & 0x7f) == 0x7f ? code & 0x80 : code);  // 0x7f is NaN
    float decoded = 0;
    traits(DType::kF8E4M3).dequantise(panel + index, &decoded, 1);
    return decoded;
  }
  const std::uint16_t half = kind == FloatKind::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
  std::memcpy(panel + index * 2, &half, 2);
  return kind == FloatKind::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
}

Weights make_weights(FloatKind kind, int rows, int columns) {
  Weights made;
  made.layout = {kind, kind == FloatKind::kFp8 ? kScaleBlock : 0};
  made.rows = rows;
  made.columns = columns;
  made.values.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  const std::size_t bytes = float_panel_bytes(made.layout, columns);
  const auto panels = static_cast<std::size_t>((rows + 15) / 16);
  made.panels = Buffer(bytes * panels);
  const std::size_t scales_at = (static_cast<std::size_t>(columns) * 16 + 63) / 64 * 64;
  Random random;
  for (int row = 0; row < rows; ++row) {
    std::byte* panel = made.panels.data() + static_cast<std::size_t>(row / 16) * bytes;
    const auto lane = static_cast<std::size_t>(row % 16);
    for (int column = 0; column < columns; ++column) {
      float value = put(kind, random.normal_like(), panel, static_cast<std::size_t>(column) * 16 + lane);
      if (kind == FloatKind::kFp8) {
        const auto block = static_cast<std::size_t>(column / kScaleBlock);
        float& scale = reinterpret_cast<float*>(panel + scales_at)[block * 16 + lane];
        if (column % kScaleBlock == 0) scale = 0.01f + std::fabs(random.normal_like());
        value *= scale;
      }
      made.values[static_cast<std::size_t>(row * columns + column)] = value;
    }
  }
  return made;
}

// out[activation][rows + 1], whose last column nobody may write.
std::vector<float> product(const KernelTable& table, const Weights& weights, const std::vector<float>& x,
                           int count) {
  const int stride = weights.rows + 1;
  std::vector<float> out(static_cast<std::size_t>(count * stride), kUntouched);
  table.matmul_float(weights.layout, weights.panels.data(), (weights.rows + 15) / 16, weights.columns,
                     x.data(), count, {.out = out.data(), .stride = stride, .row_limit = weights.rows});
  return out;
}

void expect_exact(const Weights& weights, const std::vector<float>& x, int count,
                  const std::vector<float>& out, const std::string& where) {
  for (int i = 0; i < count; ++i) {
    for (int row = 0; row < weights.rows; ++row) {
      float chain = 0;
      double exact = 0, size = 0;
      for (int column = 0; column < weights.columns; ++column) {
        const float w = weights.values[static_cast<std::size_t>(row * weights.columns + column)];
        const float a = x[static_cast<std::size_t>(i * weights.columns + column)];
        chain = std::fmaf(w, a, chain);
        exact += double{w} * double{a};
        size += std::fabs(double{w} * double{a});
      }
      const float found = out[static_cast<std::size_t>(i * (weights.rows + 1) + row)];
      ASSERT_EQ(std::bit_cast<std::uint32_t>(found), std::bit_cast<std::uint32_t>(chain))
          << where << ", activation " << i << " of " << count << ", row " << row << ": " << found << " for "
          << chain;
      ASSERT_NEAR(found, exact, kUnitRoundoff * (weights.columns + 1) * size) << where;
    }
    ASSERT_EQ(out[static_cast<std::size_t>((i + 1) * (weights.rows + 1) - 1)], kUntouched) << where;
  }
}

class EveryFloatKind : public testing::TestWithParam<std::tuple<FloatKind, const char*>> {};

TEST_P(EveryFloatKind, IsOneChainPerOutputOnEveryTable) {
  const FloatKind kind = std::get<0>(GetParam());
  Random random;
  for (const int rows : {1, 16, 70}) {
    for (const int columns : {1, 31, 64, 200}) {
      const Weights weights = make_weights(kind, rows, columns);
      for (const int count : {1, 2, 3, 4, 5, 7, 13, 33}) {
        const std::vector<float> x = random.normals(static_cast<std::size_t>(count * columns));
        for (const KernelTable* table : usable_tables()) {
          expect_exact(weights, x, count, product(*table, weights, x, count),
                       std::string(table->name) + ", " + std::to_string(columns) + " columns");
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryFloatKind,
                         testing::Values(std::tuple(FloatKind::kF32, "f32"),
                                         std::tuple(FloatKind::kF16, "f16"),
                                         std::tuple(FloatKind::kBF16, "bf16"),
                                         std::tuple(FloatKind::kFp8, "fp8")),
                         [](const auto& made) { return std::string(std::get<1>(made.param)); });

// All codes, subnormals and infinities of the 16-bit floats included, reach the product as they are.
TEST(FloatMatmul, EveryCodeIsItsValue) {
  for (const FloatKind kind : {FloatKind::kF16, FloatKind::kBF16}) {
    const FloatLayout layout{kind, 0};
    for (const KernelTable* table : usable_tables()) {
      for (std::uint32_t first = 0; first < 65536; first += 16) {
        Buffer panel(float_panel_bytes(layout, 1));
        auto* codes = reinterpret_cast<std::uint16_t*>(panel.data());
        for (std::uint32_t lane = 0; lane < 16; ++lane)
          codes[lane] = static_cast<std::uint16_t>(first + lane);
        const float one = 1;
        float out[16];
        table->matmul_float(layout, panel.data(), 1, 1, &one, 1, {.out = out, .stride = 16, .row_limit = 16});
        for (std::uint32_t lane = 0; lane < 16; ++lane) {
          const auto code = static_cast<std::uint16_t>(first + lane);
          const float value = kind == FloatKind::kF16 ? f16_to_f32(code) : bf16_to_f32(code);
          if (std::isnan(value)) {
            ASSERT_TRUE(std::isnan(out[lane])) << table->name << " code " << code;
          } else {
            ASSERT_EQ(out[lane], value) << table->name << " code " << code;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace maestrale::kernels
