#include "models/presets.h"

#include <gtest/gtest.h>

#include <set>

#include "files/convert_plan.h"
#include "models/model.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::models {
namespace {

ModelInfo info_of(const char* name) {
  const auto ops = std::move(ops::make_cpu_ops("ref", 1)).value();
  const files::Checkpoint checkpoint = std::move(preset_checkpoint(name, "q4_0", false)).value();
  const Result<LoadPlan> plan = plan_model(checkpoint, *ops);
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().render());
  return plan.ok() ? plan.value().info : ModelInfo();
}

std::int64_t parameters(const char* name) { return info_of(name).parameters_total; }

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

TEST(Presets, OfMixturesAndRecurrentModelsToo) {
  EXPECT_NEAR(static_cast<double>(parameters("deepseek-v2-lite")) / 1e9, 15.71, 0.006);
  EXPECT_NEAR(static_cast<double>(parameters("deepseek-v2")) / 1e9, 235.74, 0.006);
  EXPECT_NEAR(static_cast<double>(parameters("deepseek-r1")) / 1e9, 671.03, 0.006);
  EXPECT_NEAR(static_cast<double>(parameters("mistral-large-3")) / 1e9, 673.4, 0.06);
  EXPECT_NEAR(static_cast<double>(parameters("mistral-small-4")) / 1e9, 118.97, 0.006);
  EXPECT_NEAR(static_cast<double>(parameters("mamba-codestral")) / 1e9, 7.2854, 0.0001);
  EXPECT_NEAR(static_cast<double>(parameters("gemma-2-2b")) / 1e9, 2.614, 0.0006);
  EXPECT_NEAR(static_cast<double>(parameters("gemma-2-27b")) / 1e9, 27.23, 0.006);
  EXPECT_NEAR(static_cast<double>(parameters("gemma-3-27b")) / 1e9, 27.01, 0.006);
  EXPECT_NEAR(static_cast<double>(parameters("helium-1")) / 1e9, 2.173, 0.0006);
  EXPECT_NEAR(static_cast<double>(info_of("deepseek-r1").parameters_active) / 1e9, 37.6, 0.06);
  EXPECT_NEAR(static_cast<double>(info_of("deepseek-v2").parameters_active) / 1e9, 21.4, 0.06);
  EXPECT_NEAR(static_cast<double>(info_of("deepseek-v2-lite").parameters_active) / 1e9, 2.66, 0.006);
  EXPECT_NEAR(static_cast<double>(info_of("mistral-large-3").parameters_active) / 1e9, 40.0, 0.06);
}

struct Published {
  const char* name;
  double total, active;  // in billions
};

// Active ones count the embedding table and the head. OpenAI leaves the table out: 3.6 and 5.1.
TEST(Presets, OfMixturesHaveThePublishedActiveParameters) {
  constexpr double kGptOssTable = 201088.0 * 2880 / 1e9;
  for (const Published& published : {Published{"mixtral-8x7b", 46.70, 12.88},
                                     {"mixtral-8x22b", 140.63, 39.16},
                                     {"qwen3-30b-a3b", 30.53, 3.35},
                                     {"qwen3-235b-a22b", 235.1, 22.2},
                                     {"gpt-oss-20b", 20.91, 3.61 + kGptOssTable},
                                     {"gpt-oss-120b", 116.83, 5.13 + kGptOssTable},
                                     {"llama-4-scout", 107.8, 17.2},
                                     {"llama-4-maverick", 400.7, 17.2},
                                     {"grok-1", 315.7, 83.8},
                                     {"grok-2", 269.5, 114.9}}) {
    const ModelInfo info = info_of(published.name);
    EXPECT_NEAR(static_cast<double>(info.parameters_total) / 1e9, published.total, 0.0006 * published.total)
        << published.name;
    EXPECT_NEAR(static_cast<double>(info.parameters_active) / 1e9, published.active, 0.006 * published.active)
        << published.name;
  }
}

// 671 billion parameters are described from shapes alone, and a row of the cache is the compressed one.
TEST(Presets, DeepSeekKeepsCompressedRows) {
  const auto ops = std::move(ops::make_cpu_ops("ref", 1)).value();
  const files::Checkpoint checkpoint = std::move(preset_checkpoint("deepseek-r1", "q4_k_m", false)).value();
  const LoadPlan plan = std::move(plan_model(checkpoint, *ops)).value();
  EXPECT_EQ(plan.kv.page_bytes(), 61U * 1152U * 64U);
}

TEST(Presets, AreAllPlannable) {
  for (const std::string& name : preset_names()) EXPECT_GT(parameters(name.c_str()), 0) << name;
}

TEST(Presets, RefuseUnknownNamesAndFormats) {
  EXPECT_FALSE(preset_checkpoint("mistral-8000b", "q4_0").ok());
  EXPECT_FALSE(preset_checkpoint("mistral-7b", "q4_7").ok());
}

// Every preset but those of families that conversion does not know has a GGUF file: all its tensors have a
// place there, and in a mix they keep the types that they have.
TEST(Presets, HaveAPlaceInGguf) {
  const std::set<std::string> unknown = {"helium-1", "mamba-codestral"};
  for (const std::string& name : preset_names()) {
    if (name.starts_with("gemma") || unknown.contains(name)) continue;
    const files::Checkpoint checkpoint = std::move(preset_checkpoint(name, "q4_k_m", false)).value();
    const auto facts = files::read_facts(checkpoint);
    ASSERT_TRUE(facts.ok()) << name << ": " << facts.error().render();
    const auto kept = files::plan_translation(checkpoint, *facts, {});
    const auto mixed = files::plan_translation(checkpoint, *facts, {.type = "q4_k_m"});
    ASSERT_TRUE(kept.ok() && mixed.ok()) << name << ": " << (kept.ok() ? mixed : kept).error().render();
    std::int64_t elements = 0, expected = 0;
    for (std::size_t i = 0; i < kept->jobs.size(); ++i) {
      const files::TensorDeclaration& target = kept->jobs[i].target;
      EXPECT_TRUE(files::check_job(kept->jobs[i]).ok()) << name << " " << target.name;
      EXPECT_EQ(target.dtype, mixed->jobs[i].target.dtype) << name << " " << target.name;
      if (target.name != "rope_freqs.weight") elements += static_cast<std::int64_t>(kept->jobs[i].elements());
    }
    for (const TensorView& tensor : checkpoint.tensors) expected += tensor.elements();
    EXPECT_EQ(elements, expected) << name;
  }
}

}  // namespace
}  // namespace maestrale::models
