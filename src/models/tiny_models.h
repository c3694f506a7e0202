// A tiny model for every decoder of the registry.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "files/convert.h"
#include "models/test_support.h"

namespace maestrale::models {

inline constexpr const char* kLatent =
    R"("q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
       "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
       "first_k_dense_replace": 1, "routed_scaling_factor": 2.0, "norm_topk_prob": true)";

inline std::string latent(const char* more) { return std::string("{") + kLatent + more + "}"; }

inline const std::string kDeepSeek = latent(R"(, "n_group": 4, "topk_group": 2, "topk_method": "noaux_tc")");
inline const std::string kMistralLatent = [] {
  std::string settings = latent(R"(, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0})");
  settings.replace(settings.find("2.0"), 3, "1.0");
  return settings;
}();

inline const Tiny kTiny[] = {
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

// One of them in f32, with the type of model that conversion asks for.
inline TinyCheckpoint convertible(std::string_view id, const char* model_type) {
  const Tiny* tiny =
      std::find_if(std::begin(kTiny), std::end(kTiny), [id](const Tiny& one) { return one.id == id; });
  TinyCheckpoint made(*tiny, "f32");
  made.checkpoint.metadata["model_type"] = model_type;
  made.checkpoint.metadata.erase("floor_scale");  // GGUF leaves it to the reader
  return made;
}

// The GGUF file that a checkpoint becomes, open; the file itself is gone.
inline files::Checkpoint as_gguf(const files::Checkpoint& source) {
  const std::filesystem::path target =
      std::filesystem::path(testing::TempDir()) / ("converted_" + source.path.string() + ".gguf");
  std::filesystem::remove(target);
  const auto report = files::convert_checkpoint(source, target, {});
  if (!report.ok()) throw std::runtime_error(report.error().render());
  auto opened = files::open_checkpoint(target, {.load_tokenizer = false});
  if (!opened.ok()) throw std::runtime_error(opened.error().render());
  std::filesystem::remove(target);
  return std::move(opened).value();
}

}  // namespace maestrale::models
