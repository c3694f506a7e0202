// Grok-1 and Grok-2. Both cap attention scores, norm each block's output before it is added, and scale
// embeddings and logits; Grok-2 adds an MLP beside the experts, caps its logits, and warms queries up with
// the position. Sources: xai-org/grok-1 (model.py). Grok-2's code is not public, and its two readers differ:
// llama.cpp takes its rope for YaRN with YaRN's magnitude and lets the chosen experts' weights sum to 1;
// SGLang does neither. This file follows llama.cpp: without YaRN the stated scaling factor and betas would
// mean nothing, and files converted by llama.cpp's tools say "yarn" themselves. The router's logits are
// capped where the file says so, as SGLang does; llama.cpp reads that cap and does not apply it. Grok-1's
// weights are not renormalised, as in its code.
#include <array>
#include <cmath>
#include <string>

#include "models/dense.h"
#include "models/experts.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 23> kUnderstood = {"hidden_act",
                                                          "rope_theta",
                                                          "num_local_experts",
                                                          "num_experts_per_tok",
                                                          "attn_logit_softcapping",
                                                          "final_logit_softcapping",
                                                          "router_logit_softcapping",
                                                          "attn_output_multiplier",
                                                          "embedding_multiplier_scale",
                                                          "output_multiplier_scale",
                                                          "moe_intermediate_size",
                                                          "residual_moe",
                                                          "attn_temperature_len",
                                                          "sliding_window_size",
                                                          "global_attn_every_n",
                                                          "rope_type",
                                                          "scaling_factor",
                                                          "extrapolation_factor",
                                                          "attn_factor",
                                                          "tie_word_embeddings",
                                                          "original_max_position_embeddings",
                                                          "beta_fast",
                                                          "beta_slow"};

constexpr Key kScoreCap{"attn_logit_softcapping", "attn_logit_softcapping", {}};
constexpr Key kLogitCap{"final_logit_softcapping", "final_logit_softcapping", {}};
constexpr Key kRouterCap{"router_logit_softcapping", "router_logit_softcapping", {}};
constexpr Key kScoreScale{"attention.output_scale", "attn_output_multiplier", {}};
constexpr Key kEmbeddingScale{"embedding_scale", "embedding_multiplier_scale", {}};
constexpr Key kLogitScale{"logit_scale", "output_multiplier_scale", {}};
constexpr Key kTemperatureLength{"attention.temperature_length", "attn_temperature_len", {}};

// Early GGUF files of Grok-1 leave its constants to the reader.
Result<float> constant(const ConfigReader& config, const Key& key, double grok1) {
  if (config.dialect() != Dialect::kGguf) return static_cast<float>(TRY(config.positive(key)));
  return static_cast<float>(TRY(config.positive_or(key, grok1)));
}

// Grok-2 has an MLP beside the experts: config.json says so, a GGUF file shows it by its tensors.
Result<bool> has_mlp(const ConfigReader& config) {
  if (config.dialect() == Dialect::kGguf) return config.checkpoint().find("blk.0.ffn_up.weight") != nullptr;
  return config.fields().boolean_or("residual_moe", false);
}

// config.json of Grok-2 states rope scaling in words of its own; "original" is YaRN.
Status read_hugging_face_rope(const ConfigReader& config, nn::RopeOptions& rope) {
  const JsonFields fields = config.fields();
  if (config.dialect() != Dialect::kHuggingFace || !fields.has("rope_type")) return {};
  const std::string type = TRY(fields.string("rope_type"));
  const bool plain =
      TRY(fields.number_or("extrapolation_factor", 1)) == 1 && TRY(fields.number_or("attn_factor", 1)) == 1;
  if (type != "original" || !plain) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "setting 'rope_type' is not supported with its factors",
                 .where = fields.where(),
                 .expected = "original, extrapolation_factor 1, attn_factor 1",
                 .found = type};
  }
  rope.scaling = nn::RopeScaling::kYarn;
  rope.factor = TRY(config.positive({{}, "scaling_factor", {}}));
  rope.original_context = TRY(config.positive({{}, "original_max_position_embeddings", {}}));
  rope.beta_fast = TRY(config.positive({{}, "beta_fast", {}}));
  rope.beta_slow = TRY(config.positive({{}, "beta_slow", {}}));
  rope.magnitude = nn::yarn_magnitude(rope.factor, 1);
  return {};
}

// No published model has windows: -1 and 1 say that there are none.
Status refuse_windows(const ConfigReader& config) {
  const JsonFields fields = config.fields();
  if (config.dialect() != Dialect::kHuggingFace) return {};
  if (TRY(fields.integer_or("sliding_window_size", -1)) <= 0 &&
      TRY(fields.integer_or("global_attn_every_n", 1)) == 1)
    return {};
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "setting 'sliding_window_size' is not supported",
               .where = fields.where(),
               .expected = "-1, with global_attn_every_n 1"};
}

Status set_attention(const ConfigReader& config, DenseSpec& spec) {
  nn::AttentionBlockOptions layer = spec.decoder.layers.front();
  layer.score_scale = TRY(constant(config, kScoreScale, 0.08838834764831845));
  layer.soft_cap = TRY(constant(config, kScoreCap, 30));
  TRY(read_hugging_face_rope(config, layer.rope));
  if (config.has(kTemperatureLength)) {
    layer.temperature =
        nn::QueryTemperature{.length = static_cast<double>(TRY(config.size(kTemperatureLength))),
                             .form = nn::QueryTemperature::Form::kRatio};
  }
  spec.decoder.layers.assign(spec.decoder.layers.size(), layer);
  return {};
}

Status set_experts(const ConfigReader& config, DenseSpec& spec) {
  constexpr Key kExpertFfn{"expert_feed_forward_length", "moe_intermediate_size", {}};
  const bool beside = TRY(has_mlp(config));
  nn::MoeOptions moe = TRY(
      read_experts(config, spec.info.hidden_size, {.ffn = config.has(kExpertFfn) ? kExpertFfn : keys::kFfn}));
  moe.activation = ops::Activation::kGeluTanh;
  moe.router.renormalise = beside;
  if (config.has(kRouterCap)) moe.router.logit_cap = static_cast<float>(TRY(config.positive(kRouterCap)));
  spec.info.ffn_size = moe.ffn_size;
  spec.decoder.moe = moe;
  spec.decoder.activation = ops::Activation::kGeluTanh;
  spec.decoder.mlp_beside_moe = beside;
  if (beside) spec.decoder.ffn_scale = static_cast<float>(std::sqrt(0.5));
  return {};
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("hidden_act", "gelu"));
  TRY(config.refuse_unknown(kUnderstood));
  TRY(refuse_windows(config));
  DenseSpec spec =
      TRY(read_dense(config, "grok", {.rope_base = 10000, .gguf_pairing = ops::RopePairing::kHalf}));
  TRY(set_attention(config, spec));
  TRY(set_experts(config, spec));
  spec.decoder.post_norms = true;
  spec.decoder.embedding_scale = TRY(constant(config, kEmbeddingScale, 78.38367176906169));
  spec.decoder.logit_scale = TRY(constant(config, kLogitScale, 0.5773502691896257));
  spec.decoder.logit_soft_cap =
      static_cast<float>(config.has(kLogitCap) ? TRY(config.positive(kLogitCap)) : 0.0);
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& grok_entry() {
  static const ModelEntry entry = dense_entry<read>("grok");
  return entry;
}

}  // namespace maestrale::models
