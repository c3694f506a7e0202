#include "models/presets.h"

#include <gtest/gtest.h>

#include "models/model.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::models {
namespace {

std::int64_t parameters(const char* name) {
  const auto ops = std::move(ops::make_cpu_ops("ref", 1)).value();
  const files::Checkpoint checkpoint = std::move(preset_checkpoint(name, "q4_0", false)).value();
  const Result<LoadPlan> plan = plan_model(checkpoint, *ops);
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().render());
  return plan.ok() ? plan.value().info.parameters_total : 0;
}

// Published sizes, in billions (docs/models.md).
TEST(Presets, HaveThePublishedNumberOfParameters) {
  EXPECT_NEAR(static_cast<double>(parameters("mistral-7b")) / 1e9, 7.248, 0.0006);
  EXPECT_NEAR(static_cast<double>(parameters("mistral-nemo")) / 1e9, 12.248, 0.0006);
  EXPECT_NEAR(static_cast<double>(parameters("mistral-small-3")) / 1e9, 23.572, 0.0006);
  EXPECT_NEAR(static_cast<double>(parameters("mistral-large-2")) / 1e9, 122.61, 0.006);
  EXPECT_NEAR(static_cast<double>(parameters("llama-3.1-8b")) / 1e9, 8.030, 0.0006);
  EXPECT_NEAR(static_cast<double>(parameters("llama-3.2-1b")) / 1e9, 1.236, 0.0006);
  EXPECT_NEAR(static_cast<double>(parameters("llama-3.1-405b")) / 1e9, 405.85, 0.006);
  EXPECT_NEAR(static_cast<double>(parameters("ministral-3-3b")) / 1e9, 3.429, 0.0006);
}

TEST(Presets, AreAllPlannable) {
  for (const std::string& name : preset_names()) EXPECT_GT(parameters(name.c_str()), 0) << name;
}

TEST(Presets, RefuseUnknownNamesAndFormats) {
  EXPECT_FALSE(preset_checkpoint("mistral-8000b", "q4_0").ok());
  EXPECT_FALSE(preset_checkpoint("mistral-7b", "q4_7").ok());
}

}  // namespace
}  // namespace maestrale::models
