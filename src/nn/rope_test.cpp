#include "nn/rope.h"

#include <gtest/gtest.h>

namespace maestrale::nn {
namespace {

TEST(Rope, PlainFrequencies) {
  const auto f = rope_frequencies({.rotated = 4, .base = 10000, .divisors = {}});
  ASSERT_EQ(f.size(), 2u);
  EXPECT_FLOAT_EQ(f[0], 1.0f);
  EXPECT_FLOAT_EQ(f[1], 0.01f);
}

TEST(Rope, Llama3KeepsFastAndSlowsSlowDimensions) {
  const RopeOptions options{.rotated = 128,
                            .base = 500000,
                            .scaling = RopeScaling::kLlama3,
                            .factor = 8,
                            .original_context = 8192,
                            .divisors = {}};
  const auto scaled = rope_frequencies(options);
  const auto plain = rope_frequencies({.rotated = 128, .base = 500000, .divisors = {}});
  EXPECT_EQ(scaled.front(), plain.front());
  EXPECT_FLOAT_EQ(scaled.back(), plain.back() / 8);
}

// DeepSeek's published correction range for d = 64, base 1e4, 4096 positions is 10.47 … 22.51.
TEST(Rope, YarnRampStartsAndEndsWhereItShould) {
  const RopeOptions options{.rotated = 64,
                            .base = 10000,
                            .scaling = RopeScaling::kYarn,
                            .factor = 40,
                            .original_context = 4096,
                            .divisors = {}};
  const auto scaled = rope_frequencies(options);
  const auto plain = rope_frequencies({.rotated = 64, .base = 10000, .divisors = {}});
  EXPECT_EQ(scaled[10], plain[10]);
  EXPECT_LT(scaled[11], plain[11]);
  EXPECT_GT(scaled[22], plain[22] / 40);
  EXPECT_FLOAT_EQ(scaled[23], plain[23] / 40);
}

TEST(Rope, YarnMagnitude) {
  EXPECT_NEAR(yarn_magnitude(32, 1), 1.34657, 1e-5);
  EXPECT_NEAR(yarn_magnitude(40, 0.707) * yarn_magnitude(40, 0.707), 1.5896, 1e-4);
  EXPECT_EQ(yarn_magnitude(1, 1), 1.0);
}

}  // namespace
}  // namespace maestrale::nn
