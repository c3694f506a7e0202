#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ops/cpu/test_support.h"

namespace maestrale::ops {
namespace {

// A matrix in its own memory.
struct Matrix {
  std::vector<std::byte> bytes;
  TensorView view;
};

Matrix make_matrix(DType dtype, std::int64_t rows, std::int64_t columns, std::uint64_t stream) {
  const std::vector<float> values = noise(static_cast<std::size_t>(rows * columns), stream);
  Matrix made;
  made.bytes.resize(storage_bytes(dtype, rows * columns).value());
  if (dtype == DType::kF32) {
    std::memcpy(made.bytes.data(), values.data(), made.bytes.size());
  } else {
    traits(dtype).quantise(values.data(), nullptr, made.bytes.data(), rows * columns);
  }
  made.view = {.name = "matrix", .dtype = dtype, .shape = {rows, columns}, .data = made.bytes};
  return made;
}

std::vector<float> dequantised(const TensorView& matrix) {
  std::vector<float> values(static_cast<std::size_t>(matrix.elements()));
  traits(matrix.dtype).dequantise(matrix.data.data(), values.data(), matrix.elements());
  return values;
}

// x · matrixᵀ in double, and Σ |w x| for the bound.
void expect_near(const std::vector<float>& w, const float* x, std::int64_t rows, std::int64_t columns,
                 double relative, double absolute, const float* found) {
  double largest = 0;
  for (std::int64_t c = 0; c < columns; ++c) largest = std::max(largest, std::fabs(double{x[c]}));
  for (std::int64_t r = 0; r < rows; ++r) {
    double exact = 0, size = 0, weights = 0;
    for (std::int64_t c = 0; c < columns; ++c) {
      const double weight = w[static_cast<std::size_t>(r * columns + c)];
      exact += weight * double{x[c]};
      size += std::fabs(weight * double{x[c]});
      weights += std::fabs(weight);
    }
    ASSERT_NEAR(found[r], exact, relative * size + absolute * largest * weights) << "row " << r;
  }
}

struct Shape {
  DType dtype;
  std::int64_t rows, columns, count;
};

std::vector<float> multiply(Ops& ops, const Matrix& matrix, const std::vector<float>& x, std::int64_t count) {
  const std::int64_t rows = matrix.view.rows(), columns = matrix.view.columns();
  EXPECT_TRUE(ops.reserve_weights(ops.packed_bytes(matrix.view.dtype, rows, columns).value()).ok());
  EXPECT_TRUE(ops.reserve_scratch(count, columns).ok());
  const Weight weight = ops.pack(matrix.view, {}).value();
  std::vector<float> out(static_cast<std::size_t>(count * rows));
  const Projection projection{.weight = &weight, .out = out.data(), .out_stride = rows};
  ops.linear(x.data(), count, columns, std::span(&projection, 1));
  return out;
}

TEST(Linear, IsNearTheTruthAndTheSameEverywhere) {
  const Shape shapes[] = {{DType::kF32, 37, 100, 5},  {DType::kF16, 64, 96, 1},  {DType::kBF16, 17, 33, 70},
                          {DType::kQ8_0, 50, 96, 3},  {DType::kQ4_0, 33, 64, 9}, {DType::kQ4_K, 70, 512, 2},
                          {DType::kQ6_K, 16, 256, 65}};
  for (const Shape& shape : shapes) {
    const Matrix matrix = make_matrix(shape.dtype, shape.rows, shape.columns, 1);
    const std::vector<float> w = dequantised(matrix.view);
    const std::vector<float> x = noise(static_cast<std::size_t>(shape.count * shape.columns), 2);
    // Activations beside block formats are int8: off by half of a 127th of their block's largest value.
    const bool blocks = traits(shape.dtype).block_elements > 1;
    const double absolute = blocks ? 0.5 / 127 + 1e-6 : 0;
    std::vector<float> first;
    for (const std::string& isa : usable_instruction_sets()) {
      for (const int threads : {1, 3}) {
        SCOPED_TRACE(std::string(traits(shape.dtype).name) + ", " + isa + ", " + std::to_string(threads) +
                     " threads");
        const std::vector<float> out = multiply(*make_ops(isa, threads), matrix, x, shape.count);
        for (std::int64_t i = 0; i < shape.count; ++i) {
          expect_near(w, x.data() + i * shape.columns, shape.rows, shape.columns,
                      kUnitRoundoff * static_cast<double>(shape.columns + 8), absolute,
                      out.data() + i * shape.rows);
        }
        if (first.empty()) first = out;
        ASSERT_EQ(std::memcmp(first.data(), out.data(), out.size() * sizeof(float)), 0);
        for (std::int64_t i = 0; i < shape.count; ++i) {  // a row does not know of its neighbours
          const std::vector<float> own(x.begin() + i * shape.columns, x.begin() + (i + 1) * shape.columns);
          const std::vector<float> alone = multiply(*make_ops(isa, threads), matrix, own, 1);
          ASSERT_EQ(std::memcmp(alone.data(), out.data() + i * shape.rows, alone.size() * sizeof(float)), 0);
          i += shape.count / 3;
        }
      }
    }
  }
}

TEST(Linear, SharedInputBiasResidualAndStride) {
  const auto ops = make_ops("", 2);
  const Matrix a = make_matrix(DType::kF32, 20, 40, 1), b = make_matrix(DType::kQ8_0, 35, 64, 2);
  const Matrix c = make_matrix(DType::kF32, 35, 64, 3);
  std::size_t bytes = 0;
  for (const Matrix* matrix : {&a, &b, &c}) {
    bytes += ops->packed_bytes(matrix->view.dtype, matrix->view.rows(), matrix->view.columns()).value();
  }
  ASSERT_TRUE(ops->reserve_weights(bytes).ok());
  ASSERT_TRUE(ops->reserve_scratch(3, 64).ok());
  const Weight wb = ops->pack(b.view, {}).value(), wc = ops->pack(c.view, {}).value();
  const std::vector<float> x = noise(3 * 64, 4), bias = noise(35, 5), residual = noise(3 * 50, 6);
  std::vector<float> plain_b(3 * 35), plain_c(3 * 35), out_b(3 * 40, 7.0f), out_c = residual;
  const Projection plain[] = {{.weight = &wb, .out = plain_b.data(), .out_stride = 35},
                              {.weight = &wc, .out = plain_c.data(), .out_stride = 35}};
  ops->linear(x.data(), 3, 64, plain);
  const Projection rich[] = {
      {.weight = &wb, .out = out_b.data(), .out_stride = 40, .bias = bias.data()},
      {.weight = &wc, .out = out_c.data(), .out_stride = 50, .bias = bias.data(), .residual = out_c.data()}};
  ops->linear(x.data(), 3, 64, rich);
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t i = 0; i < 35; ++i) {
      ASSERT_EQ(out_b[row * 40 + i], plain_b[row * 35 + i] + bias[i]);
      ASSERT_EQ(out_c[row * 50 + i], plain_c[row * 35 + i] + bias[i] + residual[row * 50 + i]);
    }
    for (std::size_t i = 35; i < 40; ++i) ASSERT_EQ(out_b[row * 40 + i], 7.0f);
    for (std::size_t i = 35; i < 50; ++i) ASSERT_EQ(out_c[row * 50 + i], residual[row * 50 + i]);
  }
}

TEST(Linear, Float8CarriesItsScales) {
  constexpr std::int64_t kRows = 150, kColumns = 200;
  std::vector<std::byte> codes(kRows * kColumns);
  for (std::size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<std::byte>(i * 37 % 120 + (i % 2 ? 128 : 0));
  const TensorView matrix{.name = "m", .dtype = DType::kF8E4M3, .shape = {kRows, kColumns}, .data = codes};
  const std::vector<float> blocks = noise(4, 8), one = {0.25f};
  const std::vector<float> x = noise(kColumns * 2, 9);
  for (const BlockScales& scales : {BlockScales{blocks, 128, 128}, BlockScales{one, kRows, kColumns}}) {
    std::vector<float> w(codes.size());
    expand_scaled(matrix, scales, w.data());
    EXPECT_EQ(w[130 * kColumns + 140],
              dequantised(matrix)[130 * kColumns + 140] * (scales.values.size() == 1 ? 0.25f : blocks[3]));
    std::vector<float> first;
    for (const std::string& isa : usable_instruction_sets()) {
      const auto ops = make_ops(isa, 2);
      ASSERT_TRUE(ops->reserve_weights(ops->packed_bytes(DType::kF8E4M3, kRows, kColumns).value()).ok());
      ASSERT_TRUE(ops->reserve_scratch(2, kColumns).ok());
      const Weight weight = ops->pack(matrix, scales).value();
      std::vector<float> out(2 * kRows);
      const Projection projection{.weight = &weight, .out = out.data(), .out_stride = kRows};
      ops->linear(x.data(), 2, kColumns, std::span(&projection, 1));
      for (std::int64_t i = 0; i < 2; ++i) {
        expect_near(w, x.data() + i * kColumns, kRows, kColumns, kUnitRoundoff * (kColumns + 2), 0,
                    out.data() + i * kRows);
      }
      if (first.empty()) first = out;
      ASSERT_EQ(first, out) << isa;
    }
  }
}

TEST(Linear, RefusesTypesThatCannotBeMultiplied) {
  const auto ops = make_ops("ref", 1);
  const auto bytes = ops->packed_bytes(DType::kI32, 16, 16);
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.error().kind, ErrorKind::kUnsupported);
  EXPECT_NE(bytes.error().render().find("i32"), std::string::npos);
  EXPECT_FALSE(ops->packed_bytes(DType::kF32, std::int64_t{1} << 60, 1 << 20).ok());
}

}  // namespace
}  // namespace maestrale::ops
