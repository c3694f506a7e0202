// What families with latent attention (MLA) share: DeepSeek, and Mistral Large 3 and Small 4 in its form.
#pragma once

#include "models/config.h"
#include "models/dense.h"
#include "nn/latent_attention.h"

namespace maestrale::models {

// Dimensions and rope of a decoder whose layers all have latent attention; the score scale is 1 /
// √query_size.
Result<DenseSpec> read_latent(const ConfigReader& config, std::string_view id);

}  // namespace maestrale::models
