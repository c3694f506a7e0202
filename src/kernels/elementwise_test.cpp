#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/dispatch.h"
#include "kernels/test_support.h"

namespace maestrale::kernels {
namespace {

constexpr float kUntouched = 12345.0f;

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(RmsNorm, IsNearTheTruthAndTheSameOnEveryTable) {
  Random random;
  for (const std::size_t n : {1u, 15u, 16u, 17u, 96u, 4099u}) {
    for (const float size : {1e-4f, 1.0f, 1e4f}) {
      std::vector<float> x = random.normals(n);
      const std::vector<float> weight = random.normals(n);
      double squares = 0;
      for (float& value : x) {
        value *= size;
        squares += double{value} * double{value};
      }
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
      std::vector<float> first;
      for (const KernelTable* table : usable_tables()) {
        std::vector<float> out(n + 1, kUntouched);
        table->rms_norm(x.data(), weight.data(), 1e-5f, static_cast<std::int64_t>(n), out.data());
        // Sixteen chains of n/16 positive terms, a tree of four, then mean, eps, root, quotient, two
        // products.
        const double bound = kUnitRoundoff * (static_cast<double>(n) / 32 + 10);
        for (std::size_t i = 0; i < n; ++i) {
          const double exact = double{x[i]} * inverse * double{weight[i]};
          ASSERT_NEAR(out[i], exact, bound * std::fabs(exact)) << table->name << " " << n;
        }
        ASSERT_EQ(out[n], kUntouched) << table->name;
        if (first.empty()) first = out;
        ASSERT_TRUE(same_bits(out, first)) << table->name << " " << n;
        std::vector<float> in_place = x;
        table->rms_norm(in_place.data(), weight.data(), 1e-5f, static_cast<std::int64_t>(n), in_place.data());
        out.pop_back();
        ASSERT_TRUE(same_bits(in_place, out)) << table->name;
      }
    }
  }
}

TEST(SiluMultiply, IsNearTheTruthAndTheSameOnEveryTable) {
  std::vector<float> gate, up;
  Random random;
  for (float x = -90; x < 90; x += 0.037f) {
    gate.push_back(x);
    up.push_back(random.normal_like());
  }
  for (const float x : {0.0f, -0.0f, 1e-30f, -1e-30f, 1e30f, -1e30f, 1e-42f}) {
    gate.push_back(x);
    up.push_back(1.5f);
  }
  std::vector<float> first;
  for (const KernelTable* table : usable_tables()) {
    std::vector<float> out(gate.size() + 1, kUntouched);
    table->silu_multiply(gate.data(), up.data(), static_cast<std::int64_t>(gate.size()), out.data());
    for (std::size_t i = 0; i < gate.size(); ++i) {
      const double exact = double{gate[i]} / (1 + std::exp(-double{gate[i]})) * double{up[i]};
      // The exponential is good to an ulp and clamped at e^88: what is beyond it is as good as zero.
      const double clamp = std::fabs(double{gate[i]} * double{up[i]}) * 1e-38 + 2 * 0x1.0p-149;
      ASSERT_NEAR(out[i], exact, 8 * kUnitRoundoff * std::fabs(exact) + clamp)
          << table->name << " " << gate[i];
    }
    ASSERT_EQ(out.back(), kUntouched) << table->name;
    if (first.empty()) first = out;
    ASSERT_TRUE(same_bits(out, first)) << table->name;
  }
}

TEST(SiluMultiply, DoesNotHideWhatIsNotANumber) {
  const float gate[] = {std::numeric_limits<float>::quiet_NaN(), 1, 1,
                        std::numeric_limits<float>::infinity()};
  const float up[] = {1, std::numeric_limits<float>::quiet_NaN(), 2, 1};
  for (const KernelTable* table : usable_tables()) {
    float out[4];
    table->silu_multiply(gate, up, 4, out);
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1])) << table->name;
    EXPECT_TRUE(std::isfinite(out[2]) && std::isinf(out[3])) << table->name;
  }
}

// Both signs, from tiny to far beyond what saturates; a length that leaves a part of a vector.
std::vector<float> inputs() {
  std::vector<float> x;
  for (int i = -400; i <= 403; ++i) {
    const float size = std::exp2(static_cast<float>(std::abs(i)) / 25.0f - 8.0f);
    x.push_back(i < 0 ? -size : size);
  }
  return x;
}

TEST(Elementwise, GeluIsTheTanhForm) {
  const std::vector<float> x = inputs();
  const std::vector<float> up(x.size(), 0.5f);
  std::vector<float> first;
  for (const KernelTable* table : usable_tables()) {
    std::vector<float> out(x.size());
    table->gelu_multiply(x.data(), up.data(), static_cast<std::int64_t>(x.size()), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double value = x[i];
      const double u = 0.7978845608028654 * (value + 0.044715 * value * value * value);
      const double exact = 0.25 * value * (1 + std::tanh(u));
      // The sum 1 + tanh(u) cancels below -3 in double too; e^-2u rounds relative to |u|.
      EXPECT_NEAR(out[i], exact, 4e-7 * std::fabs(exact) * (1 + std::fabs(u)) + 1e-15)
          << table->name << " " << value;
    }
    if (first.empty()) first = out;
    EXPECT_EQ(out, first) << table->name;
  }
}

TEST(Elementwise, ExactGeluIsTheNormalDistribution) {
  const std::vector<float> x = inputs();
  const std::vector<float> up(x.size(), 0.5f);
  std::vector<float> first;
  for (const KernelTable* table : usable_tables()) {
    std::vector<float> out(x.size());
    table->exact_gelu_multiply(x.data(), up.data(), static_cast<std::int64_t>(x.size()), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double value = x[i];
      const double exact = 0.25 * value * std::erfc(-value / std::sqrt(2.0));
      // e^-z² rounds relative to z² = x² / 2; beyond e^-87 the tail is 0.
      EXPECT_NEAR(out[i], exact, 6e-7 * std::fabs(exact) * (1 + value * value / 4) + 1e-36)
          << table->name << " " << value;
    }
    if (first.empty()) first = out;
    EXPECT_EQ(out, first) << table->name;
  }
}

TEST(Elementwise, SoftCapIsAScaledTanh) {
  constexpr float kCap = 30;
  std::vector<float> first;
  for (const KernelTable* table : usable_tables()) {
    std::vector<float> x = inputs();
    table->soft_cap(x.data(), static_cast<std::int64_t>(x.size()), kCap);
    const std::vector<float> before = inputs();
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = kCap * std::tanh(static_cast<double>(before[i]) / kCap);
      EXPECT_NEAR(x[i], exact, 4e-7 * std::fabs(exact)) << table->name << " " << before[i];
    }
    if (first.empty()) first = x;
    EXPECT_EQ(x, first) << table->name;
  }
}

}  // namespace
}  // namespace maestrale::kernels
