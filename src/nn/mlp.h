// Gated MLP: down(activation(gate(x)) ⊙ up(x)).
#pragma once

#include <cstdint>
#include <string_view>

#include "nn/loader.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

struct GatedMlpOptions {
  std::int64_t hidden_size = 0;
  std::int64_t ffn_size = 0;
  ops::Activation activation = ops::Activation::kSilu;
  std::string_view suffix = {};  // of the tensor names: "_shexp"
};

class GatedMlp {
 public:
  static Result<GatedMlp> load(WeightLoader& loader, int layer, const GatedMlpOptions& options);

  // out[rows, hidden] = mlp(x[rows, hidden]) + residual (may be out itself, or null: nothing).
  void forward(ops::Ops& ops, const float* x, std::int64_t rows, Workspace workspace, const float* residual,
               float* out) const;
  static std::size_t workspace_bytes(std::int64_t ffn_size, std::int64_t rows);

 private:
  ops::Activation activation_ = ops::Activation::kSilu;
  ops::Weight gate_, up_, down_;
};

}  // namespace maestrale::nn
