// What the configurations of mixtures of experts and of latent attention say beyond a dense model's, as keys
// of GGUF. Settings that have no place there, and would change the arithmetic, are refused by name.
#pragma once

#include "base/json.h"
#include "files/model_facts.h"

namespace maestrale::files {

// Reads a family's further settings; the sizes that all families share are read.
using FamilyReader = Status (*)(const JsonFields& config, ModelFacts& facts);

Status read_mixtral(const JsonFields& config, ModelFacts& facts);
Status read_qwen3moe(const JsonFields& config, ModelFacts& facts);
Status read_gptoss(const JsonFields& config, ModelFacts& facts);
Status read_llama4(const JsonFields& config, ModelFacts& facts);
Status read_grok(const JsonFields& config, ModelFacts& facts);
Status read_deepseek2(const JsonFields& config, ModelFacts& facts);
Status read_deepseek3(const JsonFields& config, ModelFacts& facts);
Status read_mistral4(const JsonFields& config, ModelFacts& facts);
// params.json of Mixtral (no latent attention) and of Mistral Large 3 and Small 4.
Status read_mistral_mixture(const JsonFields& params, ModelFacts& facts);

}  // namespace maestrale::files
