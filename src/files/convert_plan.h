// What convert_checkpoint() writes: the tensors of the target in order, each with its source.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "files/checkpoint.h"
#include "files/convert.h"
#include "files/model_facts.h"
#include "files/quant_mix.h"
#include "files/tensor_stream.h"

namespace maestrale::files {

struct ConvertPlan {
  std::vector<TensorJob> jobs;
  std::vector<std::string> left_out;
};

// The same tensors under the same names, each of the type that the mix gives it.
Result<ConvertPlan> plan_same_names(const Checkpoint& source, const ConvertOptions& options);
// Names, row order and tied heads as the target's container has them.
Result<ConvertPlan> plan_translation(const Checkpoint& source, const ModelFacts& facts,
                                     const ConvertOptions& options);

}  // namespace maestrale::files
