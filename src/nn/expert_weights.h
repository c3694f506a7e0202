// The matrices of one layer's experts, whatever form the file has them in: one tensor per matrix and expert
// (Hugging Face, Mistral, old GGUF), one per matrix (GGUF), or gate and up in one (newer Hugging Face; MXFP4
// blocks of gpt-oss).
#pragma once

#include "nn/loader.h"
#include "nn/moe.h"

namespace maestrale::nn {

Result<ops::ExpertSet> load_experts(WeightLoader& loader, int layer, const MoeOptions& options);
// Counts in a planning loader what they will take.
Status plan_experts(WeightLoader& planner, int layer, const MoeOptions& options);

}  // namespace maestrale::nn
