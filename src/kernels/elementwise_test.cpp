#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/dispatch.h"

namespace maestrale::kernels {
namespace {

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
