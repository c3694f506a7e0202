// Llama 1 to 3.3 (Meta), and the many models published in its form. GGUF files of Mistral 7B to Large 2 say
// "llama" too and carry no sliding window: they run as the file says.
// Sources: arXiv 2302.13971, 2307.09288, 2407.21783; karpathy/llama2.c for its .bin files.
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
  DenseSpec spec = TRY(read_dense(config, "llama", {}));
  // A window that a GGUF states all the same (our own conversions of Mistral 7B v0.1 do) is obeyed.
  if (config.dialect() == files::Dialect::kGguf) {
    const std::int64_t window = TRY(config.size_or(keys::kWindow, 0));
    for (nn::AttentionBlockOptions& layer : spec.decoder.layers) layer.window = window;
  }
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& llama_entry() {
  static const ModelEntry entry = dense_entry<read>("llama");
  return entry;
}

}  // namespace maestrale::models
