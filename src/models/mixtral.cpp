// Mixtral 8x7B and 8x22B: Mistral's form with eight experts in place of the MLP, two for a token. GGUF files
// call themselves "llama" and state expert_count. Sources: arXiv 2401.04088; mistralai/mistral-inference.
#include <array>

#include "models/dense.h"
#include "models/experts.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 11> kUnderstood = {"hidden_act",
                                                          "rope_theta",
                                                          "rope_scaling",
                                                          "rope_parameters",
                                                          "sliding_window",
                                                          "num_local_experts",
                                                          "num_experts_per_tok",
                                                          "norm_eps",
                                                          "n_heads",
                                                          "n_kv_heads",
                                                          "moe"};

// params.json: {"moe": {"num_experts": 8, "num_experts_per_tok": 2}} and nothing more.
Status check_moe_object(const ConfigReader& config) {
  if (config.dialect() != Dialect::kMistral) return {};
  for (const auto& [key, value] : *TRY(config.fields().object("moe"))) {
    if (key == "num_experts" || key == "num_experts_per_tok") continue;
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "setting 'moe." + std::string(key) + "' is not understood for this architecture",
                 .where = config.fields().where()};
  }
  return {};
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.refuse_unknown(kUnderstood));
  TRY(check_moe_object(config));
  DenseSpec spec = TRY(read_dense(config, "mixtral", {.rope_base = 1e6}));
  nn::MoeOptions moe = TRY(read_experts(config, spec.info.hidden_size, {}));
  moe.router.renormalise = true;
  spec.decoder.moe = moe;
  spec.info.ffn_size = moe.ffn_size;
  const std::int64_t window = TRY(config.size_or(keys::kWindow, 0));
  for (nn::AttentionBlockOptions& layer : spec.decoder.layers) layer.window = window;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& mixtral_entry() {
  static const ModelEntry entry = dense_entry<read>("mixtral");
  return entry;
}

}  // namespace maestrale::models
