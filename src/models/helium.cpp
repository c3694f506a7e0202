// Helium 1 (Kyutai): Llama's form; Hugging Face files keep queries and keys in the order of pairs that are
// turned together. Sources: transformers' Helium model; kyutai/helium-1-preview-2b's configuration.
#include <array>

#include "models/dense.h"

namespace maestrale::models {
namespace {

constexpr std::array<std::string_view, 4> kUnderstood = {"hidden_act", "rope_theta", "rope_scaling",
                                                         "rope_parameters"};

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.require_false("attention_bias"));
  TRY(config.require_false("mlp_bias"));
  TRY(config.refuse_unknown(kUnderstood));
  DenseSpec spec = TRY(read_dense(config, "helium", {.rope_base = 100000}));
  for (nn::AttentionBlockOptions& layer : spec.decoder.layers)
    layer.rope.pairing = ops::RopePairing::kInterleaved;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& helium_entry() {
  static const ModelEntry entry = dense_entry<read>("helium");
  return entry;
}

}  // namespace maestrale::models
