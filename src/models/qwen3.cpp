// Qwen3 (dense): Llama's form with a head size of its own and RMSNorm on every query and key head.
// Source: arXiv 2505.09388.
#include <array>

#include "models/dense.h"

namespace maestrale::models {
namespace {

constexpr std::array<std::string_view, 7> kUnderstood = {
    "hidden_act", "rope_theta", "rope_scaling", "rope_parameters", "sliding_window", "use_sliding_window",
    "layer_types"};

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.require_false("use_sliding_window"));
  TRY(config.require_false("attention_bias"));
  TRY(config.refuse_unknown(kUnderstood));
  DenseSpec spec = TRY(read_dense(config, "qwen3", {.rope_base = 10000, .gguf_pairing = ops::RopePairing::kHalf}));
  for (nn::AttentionBlockOptions& layer : spec.decoder.layers) layer.head_norm = true;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& qwen3_entry() {
  static const ModelEntry entry = dense_entry<read>("qwen3");
  return entry;
}

}  // namespace maestrale::models
