// Qwen3 with experts (30B-A3B, 235B-A22B, Coder): Qwen3's attention, and many small experts in place of the
// MLP. Source: arXiv 2505.09388.
#include <array>

#include "models/dense.h"
#include "models/experts.h"

namespace maestrale::models {
namespace {

constexpr std::array<std::string_view, 14> kUnderstood = {
    "hidden_act",          "rope_theta",          "rope_scaling",          "rope_parameters",
    "sliding_window",      "use_sliding_window",  "layer_types",           "num_experts",
    "num_local_experts",   "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob",
    "decoder_sparse_step", "mlp_only_layers"};

// Every layer has experts in the published models; a file that says otherwise is refused.
Status require_experts_everywhere(const ConfigReader& config) {
  const JsonFields fields = config.fields();
  if (config.dialect() != files::Dialect::kHuggingFace) return {};
  const bool every = TRY(fields.integer_or("decoder_sparse_step", 1)) == 1;
  const bool none_left_out = !fields.has("mlp_only_layers") || TRY(fields.array("mlp_only_layers"))->empty();
  if (every && none_left_out) return {};
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "layers without experts are not supported for this architecture",
               .where = fields.where(),
               .expected = "decoder_sparse_step 1 and no mlp_only_layers"};
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.require_false("use_sliding_window"));
  TRY(config.require_false("attention_bias"));
  TRY(config.refuse_unknown(kUnderstood));
  TRY(require_experts_everywhere(config));
  DenseSpec spec =
      TRY(read_dense(config, "qwen3moe", {.rope_base = 10000, .gguf_pairing = ops::RopePairing::kHalf}));
  const bool renamed = config.fields().has("num_local_experts");
  nn::MoeOptions moe =
      TRY(read_experts(config, spec.info.hidden_size,
                       {.count = {"expert_count", renamed ? "num_local_experts" : "num_experts", {}},
                        .ffn = {"expert_feed_forward_length", "moe_intermediate_size", {}}}));
  const bool hugging_face = config.dialect() == files::Dialect::kHuggingFace;
  moe.router.renormalise = hugging_face ? TRY(config.fields().boolean_or("norm_topk_prob", false)) : true;
  spec.decoder.moe = moe;
  spec.info.ffn_size = moe.ffn_size;
  for (nn::AttentionBlockOptions& layer : spec.decoder.layers) layer.head_norm = true;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& qwen3moe_entry() {
  static const ModelEntry entry = dense_entry<read>("qwen3moe");
  return entry;
}

}  // namespace maestrale::models
