// What families with latent attention (MLA) share: DeepSeek, and Mistral Large 3 and Small 4 in its form.
#pragma once

#include "models/config.h"
#include "models/dense.h"
#include "models/experts.h"
#include "nn/latent_attention.h"

namespace maestrale::models {

// Dimensions and rope of a decoder whose layers all have latent attention; the score scale is 1 / √query_size.
Result<DenseSpec> read_latent(const ConfigReader& config, std::string_view id);

// Multiplies the score scale by m(factor, mscale_all_dim)², YaRN's magnitude, as DeepSeek does in place of scaling
// cosines and sines.
void scale_scores(DenseSpec& spec, double mscale_all_dim);

// What the mixtures of these families have in common, whatever the dialect calls it.
struct LatentExpertKeys {
  ExpertKeys experts;
  Key dense_layers, shared, scale;
};

// Experts, the shared one, the layers before the first mixture and the routed scale. The router's kind, its
// normalisation and groups are the family's.
Status read_latent_experts(const ConfigReader& config, const LatentExpertKeys& keys, DenseSpec& spec);
// Groups of experts and how many of them a token may use: both or none; checked against the number of experts.
Status set_groups(const ConfigReader& config, std::int64_t groups, std::int64_t kept, nn::MoeOptions& moe);

}  // namespace maestrale::models
