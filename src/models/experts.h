// The expert settings that families with a mixture of experts share.
#pragma once

#include "models/config.h"
#include "nn/decoder.h"

namespace maestrale::models {

// Where a dialect states the experts of a family.
struct ExpertKeys {
  Key count{"expert_count", "num_local_experts", "moe.num_experts"};
  Key chosen{"expert_used_count", "num_experts_per_tok", "moe.num_experts_per_tok"};
  Key ffn = keys::kFfn;  // of one expert
};

// Experts, choices and sizes, checked; families then set what their router and experts do.
Result<nn::MoeOptions> read_experts(const ConfigReader& config, std::int64_t hidden_size,
                                    const ExpertKeys& keys);

}  // namespace maestrale::models
