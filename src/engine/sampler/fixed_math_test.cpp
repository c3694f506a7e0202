#include "engine/sampler/fixed_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

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

TEST(FixedMath, SumsAndExponentialsOfAnyLength) {
  for (std::size_t size = 1; size < 80; ++size) {
    std::vector<float> logits(size);
    for (std::size_t i = 0; i < size; ++i) logits[i] = static_cast<float>(i % 7) * 0.5f;
    std::vector<float> weights(size);
    exponentials(logits, 3.0f, 0.5f, weights);
    double exact = 0.0;
    for (const float logit : logits) exact += std::exp((static_cast<double>(logit) - 3.0) * 0.5);
    EXPECT_NEAR(sum_of(weights), exact, exact * 1e-6) << size;
    EXPECT_EQ(weights.back(), exp_of_nonpositive((logits.back() - 3.0f) * 0.5f));
  }
}

}  // namespace
}  // namespace maestrale::engine
