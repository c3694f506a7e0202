#include "engine/sampler/fixed_math.h"

#include <gtest/gtest.h>

#include <cmath>

namespace maestrale::engine {
namespace {

TEST(FixedMath, ExpStaysWithinItsBound) {
  double worst = 0.0;
  for (float x = 0.0f; x > -86.9f; x -= 0.00037f) {
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(exp_of_nonpositive(x)) - exact) / exact);
  }
  EXPECT_LT(worst, 3e-7);
  EXPECT_EQ(exp_of_nonpositive(0.0f), 1.0f);
  EXPECT_EQ(exp_of_nonpositive(-1e30f), 0.0f);
  EXPECT_EQ(exp_of_nonpositive(-INFINITY), 0.0f);
}

TEST(FixedMath, LogStaysWithinItsBound) {
  for (double x = 1e-12; x < 1e12; x *= 1.0173) {
    EXPECT_NEAR(log_of_positive(x), std::log(x), 2e-15 * std::max(1.0, std::abs(std::log(x)))) << x;
  }
  EXPECT_EQ(log_of_positive(1.0), 0.0);
}

}  // namespace
}  // namespace maestrale::engine
