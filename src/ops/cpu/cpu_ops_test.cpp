#include "ops/cpu/cpu_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ops/cpu/test_support.h"

namespace maestrale::ops {
namespace {

TEST(CpuOps, RefusesUnknownSetsAndThreadCounts) {
  for (const char* isa : {"sse9", "AVX2", " "}) {
    const auto ops = make_cpu_ops(isa, 1);
    ASSERT_FALSE(ops.ok()) << isa;
    EXPECT_EQ(ops.error().kind, ErrorKind::kUsage);
    EXPECT_NE(ops.error().expected.find("ref"), std::string::npos);
  }
  for (const int threads : {0, -1, 1 << 20}) {
    const auto ops = make_cpu_ops("ref", threads);
    ASSERT_FALSE(ops.ok()) << threads;
    EXPECT_EQ(ops.error().kind, ErrorKind::kUsage);
  }
}

TEST(CpuOps, EmbedReadsTheRowsOfItsTable) {
  const auto ops = make_ops("ref", 2);
  const std::vector<float> values = noise(10 * 32, 1);
  std::vector<std::byte> blocks(storage_bytes(DType::kQ8_0, 320).value());
  traits(DType::kQ8_0).quantise(values.data(), nullptr, blocks.data(), 320);
  std::vector<float> expected(320), out(3 * 32);
  traits(DType::kQ8_0).dequantise(blocks.data(), expected.data(), 320);
  const TensorView table{.name = "t", .dtype = DType::kQ8_0, .shape = {10, 32}, .data = blocks};
  ops->embed(table, std::vector<std::int32_t>{9, 0, 9}, 1, out.data());
  EXPECT_EQ(std::memcmp(out.data(), expected.data() + 9 * 32, 32 * 4), 0);
  EXPECT_EQ(std::memcmp(out.data() + 32, expected.data(), 32 * 4), 0);
  EXPECT_EQ(std::memcmp(out.data() + 64, expected.data() + 9 * 32, 32 * 4), 0);
}

class Rope : public testing::TestWithParam<RopePairing> {};

TEST_P(Rope, RotatesEachPairByItsAngle) {
  constexpr std::int64_t kHeads = 3, kSize = 10, kStride = 40;
  constexpr std::size_t kHalf = 4;  // two dimensions of a head are not rotated
  const bool halves = GetParam() == RopePairing::kHalf;
  const std::vector<float> frequencies = {1.0f, 0.3f, 0.01f, 1e-4f};
  const std::vector<std::int32_t> positions = {0, 7, 100000};
  const std::vector<float> row_scale = {1.0f, 2.0f, 0.5f}, x = noise(3 * kStride, 5);
  std::vector<float> first;
  for (const int threads : {1, 3}) {
    std::vector<float> out = x;
    make_ops("ref", threads)
        ->rope(out.data(), kStride, kHeads, kSize, positions,
               {.pairing = GetParam(), .inverse_frequencies = frequencies, .magnitude = 1.25f}, row_scale);
    for (std::size_t row = 0; row < 3; ++row) {
      std::vector<double> expected(x.begin() + static_cast<std::ptrdiff_t>(row * kStride),
                                   x.begin() + static_cast<std::ptrdiff_t>((row + 1) * kStride));
      for (std::size_t head = 0; head < kHeads; ++head) {
        for (std::size_t i = 0; i < kHalf; ++i) {
          double& a = expected[head * kSize + (halves ? i : 2 * i)];
          double& b = expected[head * kSize + (halves ? i + kHalf : 2 * i + 1)];
          const double angle = double{static_cast<float>(positions[row]) * frequencies[i]};
          const double cosine = std::cos(angle) * 1.25, sine = std::sin(angle) * 1.25,
                       scale = double{row_scale[row]};
          const double turned = (a * cosine - b * sine) * scale;
          b = (b * cosine + a * sine) * scale;
          a = turned;
        }
      }
      for (std::size_t i = 0; i < kStride; ++i)
        ASSERT_NEAR(out[row * kStride + i], expected[i], 30 * kUnitRoundoff);
    }
    if (first.empty()) first = out;
    EXPECT_EQ(first, out);
  }
}

INSTANTIATE_TEST_SUITE_P(Pairings, Rope, testing::Values(RopePairing::kInterleaved, RopePairing::kHalf),
                         [](const auto& made) {
                           return std::string(made.param == RopePairing::kHalf ? "half" : "interleaved");
                         });

TEST(CpuOps, RowsAreTreatedAlone) {
  const std::vector<float> x = noise(7 * 50, 1), weight = noise(50, 2), up = noise(7 * 50, 3);
  for (const std::string& isa : usable_instruction_sets()) {
    const auto one = make_ops(isa, 1), three = make_ops(isa, 3);
    std::vector<float> all(x.size()), alone(x.size());
    three->rms_norm(x.data(), weight.data(), 1e-5f, 7, 50, all.data());
    for (int row = 0; row < 7; ++row) {
      one->rms_norm(x.data() + row * 50, weight.data(), 1e-5f, 1, 50, alone.data() + row * 50);
    }
    EXPECT_EQ(all, alone) << isa;
    three->gated(Activation::kSilu, x.data(), up.data(), 7, 50, all.data());
    for (int row = 0; row < 7; ++row) {
      one->gated(Activation::kSilu, x.data() + row * 50, up.data() + row * 50, 1, 50,
                 alone.data() + row * 50);
    }
    EXPECT_EQ(all, alone) << isa;
  }
}

}  // namespace
}  // namespace maestrale::ops
