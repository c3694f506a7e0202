// Nomic's BERT: rotated queries and keys in place of learned positions, SwiGLU, no biases in the matrices.
// Sources: arXiv 2402.01613; nomic-ai's published configuration and modelling code.
#include <algorithm>
#include <array>

#include "models/encoder.h"
#include "nn/names.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 13> kUnderstood = {"activation_function",
                                                          "layer_norm_epsilon",
                                                          "rotary_scaling_factor",
                                                          "n_head",
                                                          "scale_attn_weights",
                                                          "qkv_proj_bias",
                                                          "mlp_fc1_bias",
                                                          "mlp_fc2_bias",
                                                          "rotary_emb_fraction",
                                                          "use_flash_attn",
                                                          "fused_bias_fc",
                                                          "fused_dropout_add_ln",
                                                          "attention_probs_dropout_prob"};

// Values that the mathematics below holds for.
Status check(const ConfigReader& config) {
  TRY(config.require_string("activation_function", "swiglu"));
  for (const char* key :
       {"prenorm", "causal", "use_rms_norm", "parallel_block", "rotary_emb_interleaved",
        "scale_attn_by_inverse_layer_idx", "mup", "qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"}) {
    TRY(config.require_false(key));
  }
  if (config.dialect() == Dialect::kHuggingFace) {
    const double fraction = TRY(config.fields().number_or("rotary_emb_fraction", 1));
    const bool experts = TRY(config.fields().integer_or("num_experts", 0)) > 0;
    const bool scaled = config.fields().has("rotary_emb_scale_base");
    if (fraction != 1 || experts || scaled) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = std::string("setting '") +
                           (fraction != 1 ? "rotary_emb_fraction"
                            : experts     ? "num_experts"
                                          : "rotary_emb_scale_base") +
                           "' is not supported",
                   .where = config.fields().where(),
                   .expected = "1, none and null"};
    }
  }
  return config.refuse_unknown(kUnderstood);
}

Result<EncoderSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(check(config));
  const EncoderKeys names{.hidden = "n_embd",
                          .layers = "n_layer",
                          .heads = "n_head",
                          .ffn = "n_inner",
                          .eps = "layer_norm_epsilon",
                          .context = "n_positions"};
  EncoderSpec spec = TRY(read_encoder(config, "nomic_bert", names));
  // Beyond these positions the authors change the base with the text's length, which we do not.
  constexpr Key kTrained{{}, "max_trained_positions", {}};
  if (config.has({{}, "rotary_scaling_factor", {}}))
    spec.info.max_context = std::min(spec.info.max_context, TRY(config.size_or(kTrained, 2048)));
  nn::RopeOptions rope;
  rope.pairing = ops::RopePairing::kHalf;
  rope.rotated = spec.info.head_size;
  rope.base = TRY(config.positive_or({"rope.freq_base", "rotary_emb_base", {}}, 1000));
  spec.encoder.rope = rope;
  spec.encoder.fused_qkv = true;
  spec.encoder.gated = true;
  spec.encoder.attention_bias = spec.encoder.up_bias = spec.encoder.down_bias = false;
  spec.encoder.activation = ops::Activation::kSilu;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& nomic_bert_entry() {
  static const ModelEntry entry = encoder_entry<read>("nomic_bert");
  return entry;
}

}  // namespace maestrale::models
