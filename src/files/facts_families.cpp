#include "files/facts_families.h"

#include <algorithm>
#include <cmath>

namespace maestrale::files {
namespace {

Error unsupported(const JsonFields& config, std::string_view setting, std::string expected,
                  std::string found = {}) {
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "setting '" + std::string(setting) + "' has no place in a GGUF file of this kind",
               .where = config.where(),
               .expected = std::move(expected),
               .found = std::move(found)};
}

void add(ModelFacts& facts, const char* key, std::int64_t value) { facts.further.emplace_back(key, value); }
void add(ModelFacts& facts, const char* key, double value) { facts.further.emplace_back(key, value); }

struct ExpertKeys {
  const char *count, *chosen, *feed_forward;
};

Status read_experts(const JsonFields& config, const ExpertKeys& keys, ModelFacts& facts) {
  const std::int64_t count = TRY(config.integer(keys.count));
  facts.experts = ExpertFacts{.count = count};
  const std::int64_t chosen = TRY(config.integer(keys.chosen));
  constexpr std::int64_t kMost = 4096;
  if (count < 1 || count > kMost || chosen < 1 || chosen > count) {
    return Error{.what = "the numbers of experts are out of range",
                 .where = config.where(),
                 .expected = "1 … " + std::to_string(kMost) + ", and no more for a token",
                 .found = std::to_string(count) + " and " + std::to_string(chosen)};
  }
  add(facts, "expert_count", count);
  add(facts, "expert_used_count", chosen);
  if (keys.feed_forward != nullptr)
    add(facts, "expert_feed_forward_length", TRY(config.integer(keys.feed_forward)));
  return {};
}

Status read_latent(const JsonFields& config, ModelFacts& facts) {
  LatentFacts latent;
  latent.query_rank = TRY(config.integer_or("q_lora_rank", 0));
  latent.latent = TRY(config.integer("kv_lora_rank"));
  latent.plain = TRY(config.integer("qk_nope_head_dim"));
  latent.rotated = TRY(config.integer("qk_rope_head_dim"));
  latent.value = TRY(config.integer("v_head_dim"));
  constexpr std::int64_t kMost = 1 << 20;
  for (const std::int64_t size : {latent.latent, latent.plain, latent.rotated, latent.value}) {
    if (size < 1 || size > kMost || latent.query_rank < 0 || latent.query_rank > kMost) {
      return Error{.what = "the sizes of the latent attention are out of range", .where = config.where()};
    }
  }
  facts.latent = latent;
  facts.kv_heads = 1;
  facts.head_size = latent.plain + latent.rotated;
  add(facts, "attention.q_lora_rank", latent.query_rank);
  add(facts, "attention.kv_lora_rank", latent.latent);
  add(facts, "attention.key_length_mla", facts.head_size);
  add(facts, "attention.value_length_mla", latent.value);
  return {};
}

constexpr std::int64_t kGatingSoftmax = 1, kGatingSigmoid = 2;

Status read_deepseek_router(const JsonFields& config, bool third, ModelFacts& facts) {
  const std::string method = TRY(config.string_or("topk_method", third ? "noaux_tc" : "greedy"));
  const std::string score = TRY(config.string_or("scoring_func", third ? "sigmoid" : "softmax"));
  const bool normalises = TRY(config.boolean_or("norm_topk_prob", third));
  const double scale = TRY(config.number_or("routed_scaling_factor", 1));
  if (score != "sigmoid" && score != "softmax")
    return unsupported(config, "scoring_func", "sigmoid or softmax", score);
  if (normalises && !third && scale != 1)
    return unsupported(config, "norm_topk_prob", "false where routed_scaling_factor is not 1", "true");
  if (method != "greedy" && method != "group_limited_greedy" && method != "noaux_tc")
    return unsupported(config, "topk_method", "greedy, group_limited_greedy or noaux_tc", method);
  add(facts, "expert_weights_scale", scale);
  add(facts, "expert_gating_func", score == "sigmoid" ? kGatingSigmoid : kGatingSoftmax);
  if (normalises) facts.further.emplace_back("expert_weights_norm", true);
  if (method == "greedy") return {};
  add(facts, "expert_group_count", TRY(config.integer("n_group")));
  add(facts, "expert_group_used_count", TRY(config.integer("topk_group")));
  return {};
}

// Readers of these files put YaRN's magnitude on the scores or nowhere, never on queries and keys.
Status check_magnitude(const JsonFields& config, ModelFacts& facts) {
  const bool none = facts.attention_factor && *facts.attention_factor == 1;
  facts.attention_factor.reset();
  if (facts.scaling != RopeScaling::kYarn || none || facts.log_multiplier != 0) return {};
  return unsupported(config, "rope_scaling", "mscale_all_dim, or attention_factor 1");
}

Status read_deepseek(const JsonFields& config, bool third, ModelFacts& facts) {
  if (TRY(config.integer_or("moe_layer_freq", 1)) != 1) return unsupported(config, "moe_layer_freq", "1");
  if (TRY(config.boolean_or("attention_bias", false))) return unsupported(config, "attention_bias", "false");
  if (!TRY(config.boolean_or("rope_interleave", true))) return unsupported(config, "rope_interleave", "true");
  TRY(read_latent(config, facts));
  TRY(check_magnitude(config, facts));
  if (!config.has("n_routed_experts")) return {};
  TRY(read_experts(config, {"n_routed_experts", "num_experts_per_tok", "moe_intermediate_size"}, facts));
  add(facts, "expert_shared_count", TRY(config.integer_or("n_shared_experts", 0)));
  add(facts, "leading_dense_block_count", TRY(config.integer_or("first_k_dense_replace", 0)));
  return read_deepseek_router(config, third, facts);
}

// Mistral Large 3, without YaRN's magnitude, is called deepseek2.
void name_latent_mistral(ModelFacts& facts) {
  facts.architecture = facts.log_multiplier == 0 ? "deepseek2" : "mistral4";
}

// The router of Mistral's mixtures with latent attention.
void add_mistral_router(double scale, ModelFacts& facts) {
  add(facts, "expert_weights_scale", scale);
  add(facts, "expert_gating_func", kGatingSoftmax);
  facts.further.emplace_back("expert_weights_norm", true);
}

// Every other layer has the window, the first among them: GGUF files cannot say otherwise.
Status check_alternation(const JsonFields& config, std::int64_t layers) {
  if (!config.has("layer_types")) return {};
  const json::array& types = *TRY(config.array("layer_types"));
  bool alternates = types.size() == static_cast<std::size_t>(layers);
  for (std::size_t i = 0; alternates && i < types.size(); ++i) {
    alternates = types[i] == (i % 2 == 0 ? "sliding_attention" : "full_attention");
  }
  if (alternates) return {};
  return unsupported(config, "layer_types", "sliding_attention and full_attention in turn");
}

Status read_grok_rope(const JsonFields& config, ModelFacts& facts) {
  if (!config.has("rope_type")) return {};
  const std::string type = TRY(config.string("rope_type"));
  if (type != "original") return unsupported(config, "rope_type", "original", type);
  facts.scaling = RopeScaling::kYarn;
  facts.scaling_factor = TRY(config.number("scaling_factor"));
  facts.original_context = TRY(config.integer("original_max_position_embeddings"));
  facts.beta_fast = TRY(config.number("beta_fast"));
  facts.beta_slow = TRY(config.number("beta_slow"));
  add(facts, "rope.scaling.yarn_ext_factor", TRY(config.number_or("extrapolation_factor", 1)));
  add(facts, "rope.scaling.yarn_attn_factor", TRY(config.number_or("attn_factor", 1)));
  return {};
}

Status check_llama4_layers(const JsonFields& config, std::int64_t layers) {
  constexpr std::int64_t kUnrotatedEvery = 4;
  if (TRY(config.integer_or("no_rope_layer_interval", kUnrotatedEvery)) != kUnrotatedEvery)
    return unsupported(config, "no_rope_layer_interval", "4");
  if (!config.has("no_rope_layers")) return {};
  const json::array& list = *TRY(config.array("no_rope_layers"));
  bool usual = list.empty() || list.size() == static_cast<std::size_t>(layers);
  for (std::size_t i = 0; usual && i < list.size(); ++i) usual = list[i] == ((i + 1) % 4 != 0 ? 1 : 0);
  return usual ? Status() : Status(unsupported(config, "no_rope_layers", "1 but for every fourth layer"));
}

}  // namespace

Status read_mixtral(const JsonFields& config, ModelFacts& facts) {
  return read_experts(config, {"num_local_experts", "num_experts_per_tok", nullptr}, facts);
}

Status read_qwen3moe(const JsonFields& config, ModelFacts& facts) {
  if (TRY(config.integer_or("decoder_sparse_step", 1)) != 1)
    return unsupported(config, "decoder_sparse_step", "1");
  if (config.has("mlp_only_layers") && !TRY(config.array("mlp_only_layers"))->empty())
    return unsupported(config, "mlp_only_layers", "none");
  if (!TRY(config.boolean_or("norm_topk_prob", false))) return unsupported(config, "norm_topk_prob", "true");
  const char* count = config.has("num_local_experts") ? "num_local_experts" : "num_experts";
  return read_experts(config, {count, "num_experts_per_tok", "moe_intermediate_size"}, facts);
}

Status read_gptoss(const JsonFields& config, ModelFacts& facts) {
  constexpr double kClamp = 7;
  if (TRY(config.number_or("swiglu_limit", kClamp)) != kClamp)
    return unsupported(config, "swiglu_limit", "7");
  if (!config.has("sliding_window")) return unsupported(config, "sliding_window", "a window");
  TRY(check_alternation(config, facts.layers));
  facts.sliding_window = TRY(config.integer("sliding_window"));
  const char* chosen = config.has("experts_per_token") ? "experts_per_token" : "num_experts_per_tok";
  TRY(read_experts(config, {"num_local_experts", chosen, "intermediate_size"}, facts));
  facts.experts->interleaved = facts.experts->inputs_first = true;
  return {};
}

Status read_llama4(const JsonFields& config, ModelFacts& facts) {
  constexpr double kLength = 8192, kScale = 0.1;
  constexpr std::int64_t kMaverick = 128;
  TRY(check_llama4_layers(config, facts.layers));
  const json::value* tuning = config.find("attn_temperature_tuning");  // true, or a number in the first files
  if (tuning != nullptr && (*tuning == false || *tuning == 0))
    return unsupported(config, "attn_temperature_tuning", "true");
  if (TRY(config.number_or("attn_scale", kScale)) != kScale) return unsupported(config, "attn_scale", "0.1");
  if (TRY(config.number_or("floor_scale", kLength)) != kLength)
    return unsupported(config, "floor_scale", "8192");
  TRY(read_experts(config, {"num_local_experts", "num_experts_per_tok", "intermediate_size"}, facts));
  if (TRY(config.boolean_or("use_qk_norm", true)) == (facts.experts->count == kMaverick))
    return unsupported(config, "use_qk_norm", "false with 128 experts, true with another number");
  facts.feed_forward = TRY(config.integer("intermediate_size_mlp"));
  facts.experts->inputs_first = true;
  add(facts, "interleave_moe_layer_step", TRY(config.integer_or("interleave_moe_layer_step", 1)));
  if (!config.has("attention_chunk_size"))
    return unsupported(config, "attention_chunk_size", "a number", "none");
  add(facts, "attention.chunk_size", TRY(config.integer("attention_chunk_size")));
  return {};
}

Status read_grok(const JsonFields& config, ModelFacts& facts) {
  const bool beside = TRY(config.boolean_or("residual_moe", false));
  if (TRY(config.integer_or("sliding_window_size", -1)) > 0 ||
      TRY(config.integer_or("global_attn_every_n", 1)) != 1)
    return unsupported(config, "sliding_window_size", "-1, with global_attn_every_n 1");
  const char* width = config.has("moe_intermediate_size") ? "moe_intermediate_size" : nullptr;
  if (beside && width == nullptr) return unsupported(config, "residual_moe", "moe_intermediate_size with it");
  TRY(read_experts(config, {"num_local_experts", "num_experts_per_tok", width}, facts));
  add(facts, "attention.output_scale", TRY(config.number("attn_output_multiplier")));
  add(facts, "embedding_scale", TRY(config.number("embedding_multiplier_scale")));
  add(facts, "logit_scale", TRY(config.number("output_multiplier_scale")));
  add(facts, "attn_logit_softcapping", TRY(config.number("attn_logit_softcapping")));
  for (const char* cap : {"router_logit_softcapping", "final_logit_softcapping"}) {
    if (config.has(cap)) add(facts, cap, TRY(config.number(cap)));
  }
  if (config.has("attn_temperature_len"))
    add(facts, "attention.temperature_length", TRY(config.integer("attn_temperature_len")));
  facts.output_norm_name = beside ? "post_ffw_norm" : "layer_output_norm";
  return read_grok_rope(config, facts);
}

Status read_deepseek2(const JsonFields& config, ModelFacts& facts) {
  return read_deepseek(config, false, facts);
}

Status read_deepseek3(const JsonFields& config, ModelFacts& facts) {
  TRY(read_deepseek(config, true, facts));
  if (!config.has("index_topk")) return {};
  add(facts, "attention.indexer.head_count", TRY(config.integer("index_n_heads")));
  add(facts, "attention.indexer.key_length", TRY(config.integer("index_head_dim")));
  add(facts, "attention.indexer.top_k", TRY(config.integer("index_topk")));
  return {};
}

Status read_mistral4(const JsonFields& config, ModelFacts& facts) {
  if (TRY(config.integer_or("topk_group", 1)) != 1 || TRY(config.integer_or("n_group", 1)) != 1)
    return unsupported(config, "n_group", "1");
  if (!TRY(config.boolean_or("norm_topk_prob", true))) return unsupported(config, "norm_topk_prob", "true");
  const std::string score = TRY(config.string_or("scoring_func", "softmax"));
  if (score != "softmax") return unsupported(config, "scoring_func", "softmax", score);
  TRY(read_latent(config, facts));
  TRY(check_magnitude(config, facts));
  name_latent_mistral(facts);
  TRY(read_experts(config, {"n_routed_experts", "num_experts_per_tok", "moe_intermediate_size"}, facts));
  add(facts, "expert_shared_count", TRY(config.integer_or("n_shared_experts", 0)));
  add(facts, "leading_dense_block_count", TRY(config.integer_or("first_k_dense_replace", 0)));
  add_mistral_router(TRY(config.number_or("routed_scaling_factor", 1)), facts);
  if (facts.temperature_scale) add(facts, "attention.temperature_length", facts.original_context);
  return {};
}

Status read_mistral_mixture(const JsonFields& params, ModelFacts& facts) {
  const JsonFields moe(*TRY(params.object("moe")), params.where() + ", moe");
  const bool latent = params.has("kv_lora_rank");
  for (const char* key : {"route_every_n", "num_expert_groups", "num_expert_groups_per_tok"}) {
    if (TRY(moe.integer_or(key, 1)) != 1) return unsupported(moe, key, "1");
  }
  if (!latent) {
    facts.architecture = "llama";
    return read_experts(moe, {"num_experts", "num_experts_per_tok", nullptr}, facts);
  }
  TRY(read_latent(params, facts));
  name_latent_mistral(facts);
  TRY(read_experts(moe, {"num_experts", "num_experts_per_tok", "expert_hidden_dim"}, facts));
  add(facts, "expert_shared_count", TRY(moe.integer_or("num_shared_experts", 0)));
  add(facts, "leading_dense_block_count", TRY(moe.integer_or("first_k_dense_replace", 0)));
  add_mistral_router(TRY(moe.number_or("routed_scale", 1)), facts);
  if (!facts.temperature_scale) return {};
  const JsonFields scaling(*TRY(params.object("llama_4_scaling")), params.where() + ", llama_4_scaling");
  add(facts, "attention.temperature_length", TRY(scaling.integer("original_max_position_embeddings")));
  return {};
}

}  // namespace maestrale::files
