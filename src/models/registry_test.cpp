// Every entry of the registry, by tiny models of made-up weights: the same bits on every instruction set and
// for every number of threads, however the prompt is cut and whatever else is in the batch; quantised weights
// near exact ones.
#include "models/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "models/test_support.h"

namespace maestrale::models {
namespace {

constexpr const char* kLatent =
    R"("q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
       "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
       "first_k_dense_replace": 1, "routed_scaling_factor": 2.0, "norm_topk_prob": true)";

std::string latent(const char* more) { return std::string("{") + kLatent + more + "}"; }

const std::string kDeepSeek = latent(R"(, "n_group": 4, "topk_group": 2, "topk_method": "noaux_tc")");
const std::string kMistralLatent = [] {
  std::string settings = latent(R"(, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0})");
  settings.replace(settings.find("2.0"), 3, "1.0");
  return settings;
}();

const Tiny kTiny[] = {
    {"deepseek", "DeepseekV3ForCausalLM", kDeepSeek.c_str()},
    {"gemma", "Gemma2ForCausalLM",
     R"({"sliding_window": 16, "query_pre_attn_scalar": 32, "attn_logit_softcapping": 50.0,
         "final_logit_softcapping": 30.0, "hidden_activation": "gelu_pytorch_tanh"})"},
    {"gptoss", "GptOssForCausalLM",
     R"({"num_local_experts": 8, "num_experts_per_tok": 4, "sliding_window": 16, "swiglu_limit": 7.0})"},
    {"grok", "Grok1ForCausalLM",
     R"({"num_local_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "residual_moe": true,
         "attn_logit_softcapping": 30.0, "router_logit_softcapping": 30.0, "final_logit_softcapping": 50.0,
         "attn_output_multiplier": 0.17, "embedding_multiplier_scale": 8.0, "output_multiplier_scale": 0.5,
         "attn_temperature_len": 8, "rope_type": "original", "scaling_factor": 16.0,
         "original_max_position_embeddings": 1024, "beta_fast": 8, "beta_slow": 1})"},
    {"helium", "HeliumForCausalLM", "{}"},
    {"llama", "LlamaForCausalLM", "{}"},
    {"llama4", "Llama4ForCausalLM",
     R"({"num_local_experts": 8, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2,
         "intermediate_size_mlp": 128, "use_qk_norm": true, "attention_chunk_size": 16, "floor_scale": 4})"},
    {"mamba", "Mamba2ForCausalLM",
     R"({"num_heads": 4, "n_groups": 2, "state_size": 16, "conv_kernel": 4, "expand": 2, "layer_norm_epsilon": 1e-5,
         "rope_theta": null})"},
    {"mistral", "MistralForCausalLM", R"({"sliding_window": 16})"},
    {"mistral_latent", "Mistral4ForCausalLM", kMistralLatent.c_str()},
    {"mixtral", "MixtralForCausalLM", R"({"num_local_experts": 8, "num_experts_per_tok": 2})"},
    {"qwen2", "Qwen2ForCausalLM", "{}"},
    {"qwen3", "Qwen3ForCausalLM", "{}"},
    {"qwen3moe", "Qwen3MoeForCausalLM",
     R"({"num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 64, "norm_topk_prob": true})"},
};

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

class Registry : public testing::TestWithParam<Tiny> {};

TEST_P(Registry, SameBitsHoweverThePromptIsCut) {
  for (const char* format : {"f32", "q8_0"}) {
    const TinyCheckpoint tiny(GetParam(), format);
    Runner runner(tiny.checkpoint, {}, 2);
    const std::vector<float> whole = runner.prompt(some_tokens(1), kTokens);
    EXPECT_TRUE(all_finite(whole)) << format;
    EXPECT_TRUE(same_bits(whole, runner.prompt(some_tokens(1), 1))) << format << ", token by token";
    EXPECT_TRUE(same_bits(whole, runner.prompt(some_tokens(1), 5))) << format << ", five at a time";
  }
}

TEST_P(Registry, SameBitsOnEveryInstructionSetAndNumberOfThreads) {
  for (const char* format : {"f32", "q4_0"}) {
    const TinyCheckpoint tiny(GetParam(), format);
    const std::vector<float> reference = Runner(tiny.checkpoint, "ref", 1).prompt(some_tokens(2), kTokens);
    for (const char* isa : {"avx2", "avx512"}) {
      if (!ops::make_cpu_ops(isa, 1).ok()) continue;  // not on this machine
      EXPECT_TRUE(same_bits(reference, Runner(tiny.checkpoint, isa, 3).prompt(some_tokens(2), kTokens)))
          << format << " " << isa;
    }
  }
}

TEST_P(Registry, SameBitsAloneAndAmongOthers) {
  const TinyCheckpoint tiny(GetParam(), "q8_0");
  Runner runner(tiny.checkpoint, {}, 2);
  std::vector<std::vector<float>> alone;
  std::vector<int> sequences;
  for (int i = 0; i < kSequences; ++i)
    alone.push_back(runner.prompt(some_tokens(static_cast<std::uint64_t>(i)), 8));
  for (int i = 0; i < kSequences; ++i) sequences.push_back(runner.open());
  for (int position = 0; position < kTokens; ++position) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < kSequences; ++i) {
      tokens.push_back(some_tokens(static_cast<std::uint64_t>(i))[static_cast<std::size_t>(position)]);
    }
    const std::vector<float> logits = runner.forward(tokens, std::vector<std::int32_t>(kSequences, position),
                                                     {sequences.begin(), sequences.end()});
    for (std::size_t i = 0; i < kSequences; ++i) {
      ASSERT_EQ(std::memcmp(logits.data() + i * kVocabulary,
                            alone[i].data() + static_cast<std::size_t>(position) * kVocabulary,
                            kVocabulary * sizeof(float)),
                0)
          << "sequence " << i << ", position " << position;
    }
  }
}

// Activations of eight bits move the logits a little, and may move a router's choice: most positions agree
// closely.
TEST_P(Registry, EightBitActivationsStayNearExactArithmetic) {
  const TinyCheckpoint tiny(GetParam(), "q8_0");
  const std::vector<float> fast = Runner(tiny.checkpoint, {}, 2).prompt(some_tokens(3), kTokens);
  const std::vector<float> exact =
      Runner(tiny.checkpoint, {}, 2, ops::Arithmetic::kFloat).prompt(some_tokens(3), kTokens);
  std::vector<double> errors;
  for (std::size_t row = 0; row < kTokens; ++row) {
    double difference = 0, size = 0;
    for (std::size_t i = row * kVocabulary; i < (row + 1) * kVocabulary; ++i) {
      difference += std::pow(static_cast<double>(fast[i]) - exact[i], 2);
      size += std::pow(static_cast<double>(exact[i]), 2);
    }
    errors.push_back(std::sqrt(difference / size));
  }
  std::sort(errors.begin(), errors.end());
  EXPECT_LT(errors[errors.size() / 2], 0.1);
  EXPECT_GT(errors[errors.size() / 2], 0);
}

INSTANTIATE_TEST_SUITE_P(Entries, Registry, testing::ValuesIn(kTiny),
                         [](const auto& info) { return std::string(info.param.id); });

TEST(RegistryList, HasATinyModelForEveryEntry) {
  // Encoders have no tokens to predict: encoder_test.cpp runs them, tests/system/embed_test.py knows the
  // truth.
  std::set<std::string> tiny = {"bert", "jina_bert", "nomic_bert"};
  for (const Tiny& entry : kTiny) tiny.insert(entry.id);
  const std::vector<std::string> registered = registered_architectures();
  EXPECT_EQ(tiny, std::set<std::string>(registered.begin(), registered.end()));
  for (const Tiny& entry : kTiny) {
    const TinyCheckpoint checkpoint(entry, "f32");
    EXPECT_EQ((*find_entry(checkpoint.checkpoint))->id, entry.id);
  }
}

}  // namespace
}  // namespace maestrale::models
