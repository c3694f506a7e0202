// What the encoder families share: from a configuration to a plan and a running model.
#pragma once

#include "models/config.h"
#include "models/registry.h"
#include "nn/encoder.h"

namespace maestrale::models {

struct EncoderSpec {
  ModelInfo info;
  nn::EncoderOptions encoder;
};

// What a family calls its dimensions in config.json; GGUF's names are the same for all.
struct EncoderKeys {
  std::string_view hidden = "hidden_size", layers = "num_hidden_layers", heads = "num_attention_heads",
                   ffn = "intermediate_size", eps = "layer_norm_eps", context = "max_position_embeddings";
};

// Dimensions, tables of types, and the head where the files are of a pair scorer.
Result<EncoderSpec> read_encoder(const ConfigReader& config, std::string_view id, const EncoderKeys& keys);
// Completes `info` after the family has set its options.
void describe(EncoderSpec& spec);

Result<LoadPlan> plan_encoder(const files::Checkpoint& checkpoint, const ops::Ops& ops,
                              const EncoderSpec& spec);
Result<std::unique_ptr<Model>> load_encoder(const files::Checkpoint& checkpoint, ops::Ops& ops,
                                            EncoderSpec spec, const Progress& progress);

// The registry entry of a family that is described by `read` alone.
template <Result<EncoderSpec> (*read)(const files::Checkpoint&)>
ModelEntry encoder_entry(std::string_view id) {
  return {.id = id,
          .plan = [](const files::Checkpoint& checkpoint, const ops::Ops& ops) -> Result<LoadPlan> {
            return plan_encoder(checkpoint, ops, TRY(read(checkpoint)));
          },
          .load = [](const files::Checkpoint& checkpoint, ops::Ops& ops,
                     const Progress& progress) -> Result<std::unique_ptr<Model>> {
            return load_encoder(checkpoint, ops, TRY(read(checkpoint)), progress);
          }};
}

}  // namespace maestrale::models
