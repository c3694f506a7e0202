// The stages that narrow the candidates: top-k, typical, top-p, min-p. Each keeps at least one candidate and
// keeps them in ascending token order. Linear in the number of candidates: only the tokens that share a
// narrow band with the cut are sorted.
#pragma once

#include <cstdint>

#include "engine/sampler/sample.h"

namespace maestrale::engine {

double total_weight(const SamplerWorkspace& workspace);
void keep_top_k(SamplerWorkspace& workspace, std::int64_t k);
void keep_typical(SamplerWorkspace& workspace, double mass);
void keep_top_p(SamplerWorkspace& workspace, double mass);
void keep_min_p(SamplerWorkspace& workspace, double share);

}  // namespace maestrale::engine
