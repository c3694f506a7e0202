// What the dense families share: from dimensions and options to a plan and a running model.
#pragma once

#include "models/config.h"
#include "models/registry.h"
#include "nn/decoder.h"

namespace maestrale::models {

struct DenseSpec {
  ModelInfo info;
  nn::DenseDecoderOptions decoder;

  // With the one that predicts further tokens.
  int layers_used() const { return static_cast<int>(info.layers) + (decoder.mtp ? 1 : 0); }
};

struct DenseDefaults {
  double rope_base = 10000;
  ops::RopePairing gguf_pairing =
      ops::RopePairing::kInterleaved;  // Hugging Face files: halves; others: interleaved
  std::string_view rope_layer_type =
      {};               // which of config.json's rope settings, where there is one per layer type
  bool latent = false;  // the KV heads are not those of grouped-query attention
};

// Dimensions, rope and head as every dense family states them; families then set biases, norms and windows.
Result<DenseSpec> read_dense(const ConfigReader& config, std::string_view id, const DenseDefaults& defaults);
// Completes `info` (parameters, notes) after the family has set its options.
void describe(DenseSpec& spec);

Result<LoadPlan> plan_dense(const files::Checkpoint& checkpoint, const ops::Ops& ops, const DenseSpec& spec);
Result<std::unique_ptr<Model>> load_dense(const files::Checkpoint& checkpoint, ops::Ops& ops, DenseSpec spec,
                                          const Progress& progress);

// The registry entry of a family that is described by `read` alone.
template <Result<DenseSpec> (*read)(const files::Checkpoint&)>
ModelEntry dense_entry(std::string_view id) {
  return {.id = id,
          .plan = [](const files::Checkpoint& checkpoint, const ops::Ops& ops) -> Result<LoadPlan> {
            return plan_dense(checkpoint, ops, TRY(read(checkpoint)));
          },
          .load = [](const files::Checkpoint& checkpoint, ops::Ops& ops,
                     const Progress& progress) -> Result<std::unique_ptr<Model>> {
            return load_dense(checkpoint, ops, TRY(read(checkpoint)), progress);
          }};
}

}  // namespace maestrale::models
