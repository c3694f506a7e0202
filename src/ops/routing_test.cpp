#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "ops/experts.h"

namespace maestrale::ops {
namespace {

struct Choice {
  std::vector<std::int32_t> experts;
  std::vector<float> weights;
};

Choice route(const RouterOptions& options, const std::vector<float>& logits,
             const float* correction = nullptr) {
  Choice choice;
  choice.experts.resize(static_cast<std::size_t>(options.chosen));
  choice.weights.resize(static_cast<std::size_t>(options.chosen));
  route_token(options, logits.data(), correction, choice.experts.data(), choice.weights.data());
  return choice;
}

TEST(Routing, SoftmaxOfAll) {
  const Choice choice = route({.experts = 4, .chosen = 2}, {0, 2, 1, -1});
  EXPECT_EQ(choice.experts, (std::vector<std::int32_t>{1, 2}));
  const double total = 1 + std::exp(2.0) + std::exp(1.0) + std::exp(-1.0);
  EXPECT_FLOAT_EQ(choice.weights[0], static_cast<float>(std::exp(2.0) / total));
  EXPECT_FLOAT_EQ(choice.weights[1], static_cast<float>(std::exp(1.0) / total));
}

TEST(Routing, RenormalisedIsTheSoftmaxOfTheChosen) {
  const Choice choice = route({.experts = 4, .chosen = 2, .renormalise = true}, {0, 2, 1, -1});
  EXPECT_NEAR(choice.weights[0], 1 / (1 + std::exp(-1.0)), 1e-6);
  EXPECT_NEAR(choice.weights[0] + choice.weights[1], 1, 1e-6);
}

TEST(Routing, EqualScoresGoToTheLowerExpert) {
  EXPECT_EQ(route({.experts = 5, .chosen = 3}, {1, 7, 7, 1, 7}).experts,
            (std::vector<std::int32_t>{1, 2, 4}));
  EXPECT_EQ(route({.experts = 3, .chosen = 2}, {0, 0, 0}).experts, (std::vector<std::int32_t>{0, 1}));
}

TEST(Routing, CorrectionChoosesButDoesNotWeigh) {
  const std::array<float, 4> correction = {0, 0, 0, 5};
  const RouterOptions options{.experts = 4, .chosen = 2, .score = RouterScore::kSigmoid, .scale = 2};
  const Choice choice = route(options, {3, 0, 0, -3}, correction.data());
  EXPECT_EQ(choice.experts, (std::vector<std::int32_t>{3, 0}));
  EXPECT_FLOAT_EQ(choice.weights[0], static_cast<float>(2 / (1 + std::exp(3.0))));
  EXPECT_FLOAT_EQ(choice.weights[1], static_cast<float>(2 / (1 + std::exp(-3.0))));
}

// Dropped groups lose even where every corrected score of the kept ones is negative.
TEST(Routing, OnlyTheBestGroupsTakePart) {
  RouterOptions options{
      .experts = 6, .chosen = 2, .score = RouterScore::kSigmoid, .groups = 3, .groups_kept = 1};
  const std::vector<float> logits = {5, -9, 2, 2, 1, 1};
  EXPECT_EQ(route(options, logits).experts, (std::vector<std::int32_t>{0, 1}));
  options.group_score = GroupScore::kSumOfTwoBest;
  EXPECT_EQ(route(options, logits).experts, (std::vector<std::int32_t>{2, 3}));
  const std::array<float, 6> correction = {-9, -9, -7, -7, -8, -8};
  EXPECT_EQ(route(options, logits, correction.data()).experts, (std::vector<std::int32_t>{2, 3}));
}

TEST(Routing, CapsLogits) {
  const Choice choice =
      route({.experts = 2, .chosen = 1, .score = RouterScore::kSigmoid, .logit_cap = 1}, {100, 0});
  EXPECT_NEAR(choice.weights[0], 1 / (1 + std::exp(-1.0)), 1e-6);
}

TEST(Routing, NeverLeavesItsRange) {
  const Choice choice = route({.experts = 3, .chosen = 2, .renormalise = true}, {NAN, NAN, NAN});
  EXPECT_EQ(choice.experts, (std::vector<std::int32_t>{0, 1}));
}

}  // namespace
}  // namespace maestrale::ops
