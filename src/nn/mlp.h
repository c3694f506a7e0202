// Gated MLP: down(silu(gate(x)) ⊙ up(x)).
#pragma once

#include <cstdint>

#include "nn/loader.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

class GatedMlp {
 public:
  static Result<GatedMlp> load(WeightLoader& loader, int layer, std::int64_t hidden_size, std::int64_t ffn_size);

  // residual[rows, hidden] += mlp(x[rows, hidden]).
  void forward(ops::Ops& ops, const float* x, std::int64_t rows, Workspace workspace, float* residual) const;
  static std::size_t workspace_bytes(std::int64_t ffn_size, std::int64_t rows);

 private:
  ops::Weight gate_, up_, down_;
};

}  // namespace maestrale::nn
