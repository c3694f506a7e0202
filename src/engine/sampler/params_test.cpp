#include "engine/sampler/params.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

namespace maestrale::engine {
namespace {

struct Case {
  std::string field;
  std::function<void(SamplingParams&)> spoil;
};

TEST(SamplingParams, DefaultsAreValidAndNeutral) {
  const SamplingParams params;
  EXPECT_TRUE(params.validate().ok());
  EXPECT_FALSE(params.uses_penalties());
}

TEST(SamplingParams, RefusesWhatIsOutOfRangeByName) {
  const Case cases[] = {
      {"temperature", [](auto& p) { p.temperature = NAN; }},
      {"temperature", [](auto& p) { p.temperature = -0.1; }},
      {"temperature", [](auto& p) { p.temperature = INFINITY; }},
      {"top_k", [](auto& p) { p.top_k = -1; }},
      {"top_p", [](auto& p) { p.top_p = 0.0; }},
      {"top_p", [](auto& p) { p.top_p = 1.1; }},
      {"top_p", [](auto& p) { p.top_p = NAN; }},
      {"min_p", [](auto& p) { p.min_p = 1.5; }},
      {"typical_p", [](auto& p) { p.typical_p = 0.0; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = 0.0; }},
      {"presence_penalty", [](auto& p) { p.presence_penalty = NAN; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = -101.0; }},
      {"penalty_window", [](auto& p) { p.penalty_window = -2; }},
      {"logprobs", [](auto& p) { p.logprobs = 1001; }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{-1, 0.0}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{1, INFINITY}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{1, NAN}};
       }},
  };
  for (const Case& c : cases) {
    SamplingParams params;
    c.spoil(params);
    const Status status = params.validate();
    ASSERT_FALSE(status.ok()) << c.field;
    EXPECT_EQ(status.error().where, c.field);
    EXPECT_EQ(status.error().kind, ErrorKind::kUsage);
    EXPECT_FALSE(status.error().expected.empty());
    EXPECT_FALSE(status.error().found.empty());
  }
}

TEST(SamplingParams, AllowsForbiddingATokenByBias) {
  SamplingParams params;
  params.logit_bias = {{3, -INFINITY}};
  EXPECT_TRUE(params.validate().ok());
}

}  // namespace
}  // namespace maestrale::engine
