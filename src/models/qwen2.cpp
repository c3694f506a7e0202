// Qwen2 and Qwen2.5: Llama's form with biases on queries, keys and values. Source: arXiv 2407.10671.
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
  TRY(config.require_false("use_sliding_window"));  // no published model of the family sets it
  TRY(config.refuse_unknown(kUnderstood));
  DenseSpec spec = TRY(read_dense(config, "qwen2", {.rope_base = 10000, .gguf_pairing = ops::RopePairing::kHalf}));
  for (nn::AttentionBlockOptions& layer : spec.decoder.layers) layer.qkv_bias = true;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& qwen2_entry() {
  static const ModelEntry entry = dense_entry<read>("qwen2");
  return entry;
}

}  // namespace maestrale::models
