// DeepSeek V2, V2-Lite, V3, R1, V3.1 and V3.2: latent attention and many small experts beside a shared one.
// GGUF files of Mistral Large 3 call themselves "deepseek2" too; they state an attention temperature, and
// their params.json says apply_scale false, so no YaRN magnitude multiplies their scores (llama.cpp applies
// one). Sources: arXiv 2405.04434, 2412.19437; deepseek-ai/DeepSeek-V3 and DeepSeek-V3.2-Exp inference code.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "models/latent.h"
#include "models/registry.h"
#include "nn/names.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 26> kUnderstood = {"hidden_act",
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
                                                          "moe_layer_freq",
                                                          "norm_topk_prob",
                                                          "scoring_func",
                                                          "routed_scaling_factor",
                                                          "first_k_dense_replace",
                                                          "attention_bias",
                                                          "quantization_config",
                                                          "index_head_dim",
                                                          "index_n_heads",
                                                          "index_topk",
                                                          "tie_word_embeddings",
                                                          "topk_method"};

const LatentExpertKeys kExpertKeys{
    .experts = {.count = {"expert_count", "n_routed_experts", {}},
                .chosen = {"expert_used_count", "num_experts_per_tok", {}},
                .ffn = {"expert_feed_forward_length", "moe_intermediate_size", {}}},
    .dense_layers = {"leading_dense_block_count", "first_k_dense_replace", {}},
    .shared = {"expert_shared_count", "n_shared_experts", {}},
    .scale = {"expert_weights_scale", "routed_scaling_factor", {}}};

constexpr Key kGroups{"expert_group_count", "n_group", {}};
constexpr Key kGroupsKept{"expert_group_used_count", "topk_group", {}};
constexpr Key kIndexHeads{"attention.indexer.head_count", "index_n_heads", {}};
constexpr Key kIndexSize{"attention.indexer.key_length", "index_head_dim", {}};
constexpr Key kIndexMost{"attention.indexer.top_k", "index_topk", {}};
constexpr Key kNextTokens{"nextn_predict_layers", "num_nextn_predict_layers", {}};

Error not_supported(const ConfigReader& config, std::string_view setting, std::string expected,
                    std::string found) {
  return {.kind = ErrorKind::kUnsupported,
          .what = "setting '" + std::string(setting) + "' is not supported",
          .where = config.fields().where(),
          .expected = std::move(expected),
          .found = std::move(found)};
}

Status check_hugging_face(const ConfigReader& config) {
  if (config.dialect() != Dialect::kHuggingFace) return {};
  const JsonFields fields = config.fields();
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.require_false("attention_bias"));
  if (TRY(fields.integer_or("moe_layer_freq", 1)) != 1) {
    return not_supported(config, "moe_layer_freq", "1", "another number");
  }
  if (!TRY(fields.boolean_or("rope_interleave", true)))
    return not_supported(config, "rope_interleave", "true", "false");
  if (fields.has("quantization_config")) {
    const JsonFields inner(*TRY(fields.object("quantization_config")),
                           fields.where() + " quantization_config");
    const std::string method = TRY(inner.string("quant_method"));
    if (method != "fp8") return not_supported(config, "quantization_config.quant_method", "fp8", method);
  }
  return config.refuse_unknown(kUnderstood);
}

// config.json names the method of choice: V2-Lite takes the best experts, V2 those of the best groups by
// their best one, V3 by the sum of their two best with a correction of the scores.
Status read_router_hugging_face(const ConfigReader& config, nn::MoeOptions& moe) {
  const JsonFields fields = config.fields();
  const bool third = TRY(published_architecture(config.checkpoint())) != "DeepseekV2ForCausalLM";
  const std::string method = TRY(fields.string_or("topk_method", third ? "noaux_tc" : "greedy"));
  const std::string score = TRY(fields.string_or("scoring_func", third ? "sigmoid" : "softmax"));
  if (score != "sigmoid" && score != "softmax")
    return not_supported(config, "scoring_func", "sigmoid or softmax", score);
  moe.router.score = score == "sigmoid" ? ops::RouterScore::kSigmoid : ops::RouterScore::kSoftmax;
  moe.router.renormalise = TRY(fields.boolean_or("norm_topk_prob", third));
  if (moe.router.renormalise && !third && moe.router.scale != 1) {
    return not_supported(config, "norm_topk_prob", "false where routed_scaling_factor is not 1", "true");
  }
  if (method == "greedy") return {};
  if (method != "group_limited_greedy" && method != "noaux_tc") {
    return not_supported(config, "topk_method", "greedy, group_limited_greedy or noaux_tc", method);
  }
  moe.choice_bias = method == "noaux_tc";
  moe.router.group_score = moe.choice_bias ? ops::GroupScore::kSumOfTwoBest : ops::GroupScore::kBest;
  return set_groups(config, TRY(config.size(kGroups)), TRY(config.size(kGroupsKept)), moe);
}

// V3's correction of the scores, which GGUF files state by having it.
bool has_correction(const files::Checkpoint& checkpoint) {
  return std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                     [](const TensorView& tensor) { return tensor.name.ends_with(".exp_probs_b.bias"); });
}

Status read_router_gguf(const ConfigReader& config, nn::MoeOptions& moe) {
  constexpr std::int64_t kSoftmax = 1, kSigmoid = 2;
  const JsonFields fields = config.fields();
  const std::int64_t gating = TRY(fields.integer_or(config.gguf_key("expert_gating_func"), kSoftmax));
  if (gating != kSoftmax && gating != kSigmoid) {
    return not_supported(config, config.gguf_key("expert_gating_func"), "1 or 2", std::to_string(gating));
  }
  moe.router.score = gating == kSigmoid ? ops::RouterScore::kSigmoid : ops::RouterScore::kSoftmax;
  moe.router.renormalise = TRY(fields.boolean_or(config.gguf_key("expert_weights_norm"), false));
  moe.choice_bias = has_correction(config.checkpoint());
  moe.router.group_score = moe.choice_bias ? ops::GroupScore::kSumOfTwoBest : ops::GroupScore::kBest;
  // Files without groups run without them, as they say: their authors' model had some.
  if (!config.has(kGroups)) return {};
  return set_groups(config, TRY(config.size(kGroups)), TRY(config.size(kGroupsKept)), moe);
}

// The factor of YaRN's magnitude on the scores. GGUF keeps a tenth of it, for historical reasons.
Result<double> mscale_all_dim(const ConfigReader& config) {
  const JsonFields fields = config.fields();
  if (config.dialect() == Dialect::kGguf) {
    return 10 * TRY(fields.number_or(config.gguf_key("rope.scaling.yarn_log_multiplier"), 0));
  }
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!fields.has(key)) continue;
    return JsonFields(*TRY(fields.object(key)), fields.where() + " " + key).number_or("mscale_all_dim", 0);
  }
  return 0.0;
}

Status read_scores(const ConfigReader& config, DenseSpec& spec) {
  nn::LatentAttentionOptions& latent = *spec.decoder.latent;
  if (config.dialect() == Dialect::kGguf) latent.rope.magnitude = 1;  // its keys mean the scores' scale here
  latent.temperature = TRY(read_temperature(config));
  if (!latent.temperature) scale_scores(spec, TRY(mscale_all_dim(config)));
  return {};
}

Status read_indexer(const ConfigReader& config, DenseSpec& spec) {
  if (!config.has(kIndexHeads)) return {};
  nn::LatentAttentionOptions& latent = *spec.decoder.latent;
  nn::KeyIndexerOptions indexer{.hidden_size = spec.info.hidden_size, .query_rank = latent.query_rank};
  indexer.heads = static_cast<int>(TRY(config.size(kIndexHeads)));
  indexer.head_size = static_cast<int>(TRY(config.size(kIndexSize)));
  indexer.most = TRY(config.size(kIndexMost));
  constexpr int kLanes = 16;
  if (latent.query_rank > 0 && indexer.head_size % kLanes == 0 && indexer.head_size <= ops::kMaxHeadSize &&
      indexer.head_size >= latent.rotated_size && indexer.most <= ops::kMaxSelected) {
    latent.indexer = indexer;
    return {};
  }
  return not_supported(
      config, "index_head_dim",
      "a low-rank query, an indexer head that is a multiple of 16 and holds the rotated part, at most " +
          std::to_string(ops::kMaxSelected) + " keys",
      std::to_string(indexer.head_size) + ", " + std::to_string(indexer.most) + " keys");
}

// Layers that predict further tokens stand after the last. Hugging Face files count them apart, GGUF files
// with the others. The first may be used, those after it are left out.
Status read_further_layers(const ConfigReader& config, DenseSpec& spec) {
  const files::Checkpoint& checkpoint = config.checkpoint();
  const std::int64_t further = TRY(config.integer_or(kNextTokens, 0));
  spec.decoder.leave_further_layers = further > 0;
  if (further <= 0) return {};
  const auto joins = [&](std::int64_t layer) {
    const std::string name = "blk." + std::to_string(layer) + ".nextn.eh_proj";
    return checkpoint.find(nn::published_name(checkpoint, nn::text_prefix(checkpoint), name, "weight")) !=
           nullptr;
  };
  if (config.dialect() == Dialect::kGguf && joins(spec.info.layers - 1)) {
    if (further >= spec.info.layers) {
      return Error{.what = "no layers but those that predict further tokens",
                   .where = config.fields().where(),
                   .found = std::to_string(further) + " of " + std::to_string(spec.info.layers)};
    }
    spec.info.layers -= further;
    spec.decoder.layers.resize(static_cast<std::size_t>(spec.info.layers));
  }
  spec.decoder.mtp = spec.info.mtp = checkpoint.mtp && spec.decoder.head && joins(spec.info.layers);
  return {};
}

bool has_further_layers(const files::Checkpoint& checkpoint, std::int64_t layers) {
  return std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                     [layers](const TensorView& tensor) { return nn::layer_number(tensor.name) >= layers; });
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(check_hugging_face(config));
  DenseSpec spec = TRY(read_latent(config, "deepseek"));
  TRY(read_scores(config, spec));
  TRY(read_indexer(config, spec));
  if (config.has(kExpertKeys.experts.count)) {
    TRY(read_latent_experts(config, kExpertKeys, spec));
    nn::MoeOptions& moe = *spec.decoder.moe;
    TRY(config.dialect() == Dialect::kGguf ? read_router_gguf(config, moe)
                                           : read_router_hugging_face(config, moe));
  }
  TRY(read_further_layers(config, spec));
  describe(spec);
  if (spec.decoder.leave_further_layers && has_further_layers(checkpoint, spec.layers_used()))
    spec.info.notes += ", layers that predict further tokens left out";
  return spec;
}

}  // namespace

const ModelEntry& deepseek_entry() {
  static const ModelEntry entry = dense_entry<read>("deepseek");
  return entry;
}

}  // namespace maestrale::models
