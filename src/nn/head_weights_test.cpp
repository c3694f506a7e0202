#include "nn/head_weights.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "ops/cpu/cpu_ops.h"
#include "tensor/half.h"

namespace maestrale::nn {
namespace {

constexpr HeadPairShape kShape{.heads = 3, .first = 32, .second = 16, .columns = 64};
constexpr std::int64_t kRows = 3 * 48;

float value_at(std::int64_t row, std::int64_t column) {
  return static_cast<float>((row * 7 + column * 3) % 31) - 15;
}

// A checkpoint with one tensor; `dtype` f16, f8_e4m3 (with scales per 16 × 64 block or per 128 × 128) or
// q8_0.
struct File {
  explicit File(DType dtype) {
    std::vector<float> values;
    for (std::int64_t row = 0; row < kRows; ++row) {
      for (std::int64_t column = 0; column < 64; ++column) values.push_back(value_at(row, column));
    }
    data.resize(storage_bytes(dtype, kRows * 64).value());
    traits(dtype).quantise(values.data(), nullptr, data.data(), kRows * 64);
    checkpoint.dialect = files::Dialect::kGguf;
    checkpoint.tensors.push_back(
        {.name = "blk.0.attn_kv_b.weight", .dtype = dtype, .shape = {kRows, 64}, .data = data});
    if (dtype == DType::kF8E4M3) {
      checkpoint.tensors.push_back({.name = "blk.0.attn_kv_b.weight_scale_inv",
                                    .dtype = DType::kF32,
                                    .shape = {2, 1},
                                    .data = std::as_bytes(std::span(scales))});
    }
    checkpoint.index_tensors();
  }
  std::vector<std::byte> data;
  std::array<float, 2> scales = {0.5f,
                                 4.0f};  // rows 0 … 127 and 128 … 143: the border is inside the third head
  files::Checkpoint checkpoint;
};

std::vector<float> multiply(ops::Ops& ops, const ops::Weight& weight, const std::vector<float>& x) {
  std::vector<float> out(static_cast<std::size_t>(weight.rows));
  const std::array projection = {ops::Projection{&weight, out.data(), weight.rows, nullptr, nullptr}};
  ops.linear(x.data(), 1, weight.columns, projection);
  return out;
}

// Each head's product with a unit vector is a column of its matrix: exact, whatever the type is kept as.
void expect_exact(DType dtype, const std::vector<float>& row_scales) {
  File file(dtype);
  const auto ops = std::move(ops::make_cpu_ops("ref", 1)).value();
  ASSERT_TRUE(ops->reserve_weights(head_pair_bytes(file.checkpoint.tensors[0], *ops, kShape).value()).ok());
  ASSERT_TRUE(ops->reserve_scratch(1, 1024).ok());
  WeightLoader loader(file.checkpoint, *ops, {});
  const HeadPair pair = std::move(load_head_pair(loader, "blk.0.attn_kv_b", kShape)).value();
  ASSERT_TRUE(loader.finish().ok());
  ASSERT_EQ(pair.first.size(), 3U);
  for (std::int64_t head = 0; head < 3; ++head) {
    const auto index = static_cast<std::size_t>(head);
    for (const std::int64_t pick : {0, 5, 31}) {
      std::vector<float> unit(32, 0.0f);
      unit[static_cast<std::size_t>(pick)] = 1;
      const std::vector<float> row = multiply(*ops, pair.first[index], unit);
      const std::int64_t from = head * 48 + pick;
      for (std::int64_t column = 0; column < 64; ++column) {
        EXPECT_EQ(row[static_cast<std::size_t>(column)],
                  value_at(from, column) * row_scales[static_cast<std::size_t>(from)]);
      }
    }
    std::vector<float> unit(64, 0.0f);
    unit[9] = 1;
    const std::vector<float> column = multiply(*ops, pair.second[index], unit);
    for (std::int64_t i = 0; i < 16; ++i) {
      const std::int64_t from = head * 48 + 32 + i;
      EXPECT_EQ(column[static_cast<std::size_t>(i)],
                value_at(from, 9) * row_scales[static_cast<std::size_t>(from)]);
    }
  }
}

TEST(HeadWeights, ArePackedExactly) {
  expect_exact(DType::kF16, std::vector<float>(static_cast<std::size_t>(kRows), 1.0f));
  expect_exact(DType::kF32, std::vector<float>(static_cast<std::size_t>(kRows), 1.0f));
}

TEST(HeadWeights, ScalesThatCrossHeadsAreAppliedWhereTheyBelong) {
  std::vector<float> scales(static_cast<std::size_t>(kRows), 0.5f);
  std::fill(scales.begin() + 128, scales.end(), 4.0f);
  expect_exact(DType::kF8E4M3, scales);
}

}  // namespace
}  // namespace maestrale::nn
