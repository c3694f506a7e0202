// Jina's BERT (jina-embeddings-v2): scores that sink with the distance (ALiBi) in place of positions, GeGLU.
// Sources: arXiv 2310.19923, 2108.12409; jinaai's published configuration and modelling code.
#include <array>

#include "models/encoder.h"
#include "nn/names.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 5> kUnderstood = {"hidden_act", "position_embedding_type",
                                                         "layer_norm_eps", "attention_probs_dropout_prob",
                                                         "attn_implementation"};

Result<EncoderSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("position_embedding_type", "alibi"));
  TRY(config.require_string("feed_forward_type", "geglu"));
  TRY(config.require_false("is_decoder"));
  TRY(config.refuse_unknown(kUnderstood));
  EncoderSpec spec = TRY(read_encoder(config, "jina_bert", {}));
  spec.encoder.distances = true;
  spec.encoder.gated = true;
  spec.encoder.fused_gate_up = config.dialect() == Dialect::kHuggingFace;
  spec.encoder.up_bias = false;
  spec.encoder.activation = ops::Activation::kGelu;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& jina_bert_entry() {
  static const ModelEntry entry = encoder_entry<read>("jina_bert");
  return entry;
}

}  // namespace maestrale::models
