// Mistral Large 3 and Mistral Small 4: DeepSeek's form with another router (softmax over all experts, the
// chosen renormalised, no groups) and Mistral's attention temperature. YaRN's magnitude multiplies the scores
// only where params.json says apply_scale (absent: true) or config.json gives mscale_all_dim, as DeepSeek's
// does. Sources: the published params.json; vLLM's reading of it; transformers' Mistral4 configuration.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "models/latent.h"
#include "models/registry.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 30> kUnderstood = {"hidden_act",
                                                          "rope_theta",
                                                          "rope_scaling",
                                                          "rope_parameters",
                                                          "rope_interleave",
                                                          "qk_rope_head_dim",
                                                          "qk_nope_head_dim",
                                                          "qk_head_dim",
                                                          "v_head_dim",
                                                          "n_routed_experts",
                                                          "num_local_experts",
                                                          "n_shared_experts",
                                                          "num_experts_per_tok",
                                                          "moe_intermediate_size",
                                                          "norm_topk_prob",
                                                          "routed_scaling_factor",
                                                          "first_k_dense_replace",
                                                          "attention_bias",
                                                          "quantization_config",
                                                          "quantization",
                                                          "norm_eps",
                                                          "n_heads",
                                                          "n_kv_heads",
                                                          "llama_4_scaling",
                                                          "moe",
                                                          "tie_word_embeddings",
                                                          "scoring_func",
                                                          "topk_method",
                                                          "tied_embeddings",
                                                          "sliding_window"};

const LatentExpertKeys kExpertKeys{
    .experts = {.count = {"expert_count", "n_routed_experts", "moe.num_experts"},
                .chosen = {"expert_used_count", "num_experts_per_tok", "moe.num_experts_per_tok"},
                .ffn = {"expert_feed_forward_length", "moe_intermediate_size", "moe.expert_hidden_dim"}},
    .dense_layers = {"leading_dense_block_count", "first_k_dense_replace", "moe.first_k_dense_replace"},
    .shared = {"expert_shared_count", "n_shared_experts", "moe.num_shared_experts"},
    .scale = {"expert_weights_scale", "routed_scaling_factor", "moe.routed_scale"}};

Error not_supported(const ConfigReader& config, const std::string& setting, std::string expected) {
  return {.kind = ErrorKind::kUnsupported,
          .what = "setting '" + setting + "' is not supported",
          .where = config.fields().where(),
          .expected = std::move(expected)};
}

// params.json's "moe": what is read as sizes, and what must have the value of the published models.
Status check_moe_object(const ConfigReader& config) {
  constexpr std::array<std::string_view, 6> kRead = {"num_experts",        "num_experts_per_tok",
                                                     "expert_hidden_dim",  "first_k_dense_replace",
                                                     "num_shared_experts", "routed_scale"};
  constexpr std::array<std::string_view, 5> kOne = {"route_every_n", "num_expert_groups",
                                                    "num_expert_groups_per_tok", "expert_parallel",
                                                    "expert_model_parallel"};
  for (const auto& [key, value] : *TRY(config.fields().object("moe"))) {
    const std::string_view word(key.data(), key.size());
    if (std::find(kRead.begin(), kRead.end(), word) != kRead.end()) continue;
    const bool known = std::find(kOne.begin(), kOne.end(), word) != kOne.end();
    const bool placement = word.ends_with("_parallel");  // of a cluster
    if (!known || (!placement && value != 1))
      return not_supported(config, "moe." + std::string(word), known ? "1" : "");
  }
  return {};
}

Status check_hugging_face(const ConfigReader& config) {
  const JsonFields fields = config.fields();
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.require_false("attention_bias"));
  TRY(config.require_string("scoring_func", "softmax"));
  if (TRY(fields.integer_or("topk_group", 1)) != 1 || TRY(fields.integer_or("n_group", 1)) != 1) {
    return not_supported(config, "n_group", "1");
  }
  if (!TRY(fields.boolean_or("norm_topk_prob", true))) return not_supported(config, "norm_topk_prob", "true");
  if (!TRY(fields.boolean_or("rope_interleave", true)))
    return not_supported(config, "rope_interleave", "true");
  return {};
}

// Temperature and the scores' scale.
Status read_scores(const ConfigReader& config, DenseSpec& spec) {
  const JsonFields fields = config.fields();
  nn::LatentAttentionOptions& latent = *spec.decoder.latent;
  latent.temperature = TRY(read_temperature(config));
  if (config.dialect() == Dialect::kMistral) {
    latent.rope.magnitude = 1;
    if (!fields.has("yarn")) return {};
    const JsonFields yarn(*TRY(fields.object("yarn")), fields.where() + " yarn");
    if (TRY(yarn.boolean_or("apply_scale", true))) scale_scores(spec, 1);
  } else if (config.dialect() == Dialect::kHuggingFace && fields.has("rope_parameters")) {
    const JsonFields rope(*TRY(fields.object("rope_parameters")), fields.where() + " rope_parameters");
    scale_scores(spec, TRY(rope.number_or("mscale_all_dim", 0)));
  } else if (config.dialect() == Dialect::kGguf) {
    latent.rope.magnitude = 1;  // its keys mean the scores' scale here
    scale_scores(spec, TRY(fields.number_or(config.gguf_key("rope.scaling.yarn_log_multiplier"), 0)));
  }
  return {};
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  if (config.dialect() == Dialect::kMistral) TRY(check_moe_object(config));
  if (config.dialect() == Dialect::kHuggingFace) TRY(check_hugging_face(config));
  TRY(config.refuse_unknown(kUnderstood));
  DenseSpec spec = TRY(read_latent(config, "mistral_latent"));
  TRY(read_scores(config, spec));
  TRY(read_latent_experts(config, kExpertKeys, spec));
  spec.decoder.moe->router.score = ops::RouterScore::kSoftmax;
  spec.decoder.moe->router.renormalise = true;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& mistral_latent_entry() {
  static const ModelEntry entry = dense_entry<read>("mistral_latent");
  return entry;
}

}  // namespace maestrale::models
