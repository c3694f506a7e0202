// Assembly: tensors of the source that become others in GGUF. Experts are stacked into one tensor per matrix
// (ffn_{gate,up,down}_exps [experts, outputs, inputs]), gate and up in one tensor come apart, and so do the
// two parts of DeepSeek's kv_b (attn_k_b [heads, latent, plain] and attn_v_b [heads, value, latent]).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "files/checkpoint.h"
#include "files/convert_plan.h"
#include "files/model_facts.h"
#include "files/target_types.h"

namespace maestrale::files {

// The rows of a matrix as they stand; FP8 codes come with their scales applied, as f32. The scales' tensor is
// added to `reads`. An error where FP8 codes have none, or of another shape.
Result<RowSource> rows_of(const Checkpoint& source, const TensorView& tensor,
                          std::vector<const TensorView*>& reads);

class Assembly {
 public:
  Assembly(const Checkpoint& source, const ModelFacts& facts, const TargetTypes& types, ConvertPlan& plan)
      : source_(source), facts_(facts), types_(types), plan_(plan) {}

  // True: the tensor is part of others in the target, and theirs is the job.
  Result<bool> take(const TensorView& tensor, const std::string& canonical);
  // Every expert there?
  Status finish();

 private:
  struct Stack {
    std::size_t job = 0;                     // where it stands in the plan
    std::vector<const TensorView*> experts;  // by number; null: not seen yet
  };

  Status take_expert(const TensorView& tensor, const std::string& stack, std::int64_t number);
  Status take_fused(const TensorView& tensor, const std::string& layer, const std::string& local);
  Status take_blocks(const TensorView& codes, const std::string& layer, bool down);
  Status take_latent(const TensorView& tensor, const std::string& layer);
  void add(std::string name, std::vector<std::int64_t> shape, RowSource rows, DType stored,
           std::vector<const TensorView*> reads);
  Status expect(const TensorView& tensor, const std::vector<std::int64_t>& shape) const;

  const Checkpoint& source_;
  const ModelFacts& facts_;
  const TargetTypes& types_;
  ConvertPlan& plan_;
  std::map<std::string, Stack> stacks_;
};

}  // namespace maestrale::files
