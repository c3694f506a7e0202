// A model and the GGUF file made of it give the same logits: what conversion writes is read back.
#include <gtest/gtest.h>

#include <string>

#include "models/tiny_models.h"

namespace maestrale::models {
namespace {

std::vector<float> converted(const files::Checkpoint& source) {
  return Runner(as_gguf(source), {}, 2).prompt(some_tokens(4), kTokens);
}

std::vector<float> direct(const files::Checkpoint& source) {
  return Runner(source, {}, 2).prompt(some_tokens(4), kTokens);
}

// Logits are of size about 1. Where heads are rotated by other pairs, sums run in another order.
constexpr double kRounding = 2e-4;

struct Case {
  const char *id, *model_type;
};

class Conversion : public testing::TestWithParam<Case> {};

TEST_P(Conversion, KeepsTheLogits) {
  const TinyCheckpoint made = convertible(GetParam().id, GetParam().model_type);
  EXPECT_LT(largest_difference(converted(made.checkpoint), direct(made.checkpoint)), kRounding);
}

INSTANTIATE_TEST_SUITE_P(Families, Conversion,
                         testing::Values(Case{"deepseek", "deepseek_v3"}, Case{"gptoss", "gpt_oss"},
                                         Case{"grok", "git"}, Case{"llama", "llama"},
                                         Case{"llama4", "llama4_text"}, Case{"mistral", "mistral"},
                                         Case{"mistral_latent", "mistral4"}, Case{"mixtral", "mixtral"},
                                         Case{"qwen2", "qwen2"}, Case{"qwen3", "qwen3"},
                                         Case{"qwen3moe", "qwen3_moe"}),
                         [](const auto& info) { return std::string(info.param.id); });

// Every constant of Grok that a GGUF file states, at a value where it matters.
TEST(ConversionOfGrok, KeepsCapsAndScales) {
  const std::vector<float> usual = direct(convertible("grok", "git").checkpoint);
  for (const char* key :
       {"router_logit_softcapping", "attn_logit_softcapping", "final_logit_softcapping",
        "attn_output_multiplier", "embedding_multiplier_scale", "output_multiplier_scale"}) {
    TinyCheckpoint made = convertible("grok", "git");
    made.checkpoint.metadata[key] = 0.25;
    const std::vector<float> expected = direct(made.checkpoint);
    EXPECT_GT(largest_difference(expected, usual), 50 * kRounding) << key;
    EXPECT_LT(largest_difference(converted(made.checkpoint), expected), kRounding) << key;
  }
}

}  // namespace
}  // namespace maestrale::models
