// MixtureOfExperts: a router picks a few experts for every token; their outputs are weighed and added, beside
// those of an expert that sees every token where the family has one.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/loader.h"
#include "nn/mlp.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

// How a file that holds gate and up in one tensor arranges them. Files of one tensor per matrix do not look
// here.
struct FusedExperts {
  bool interleaved = false;   // rows gate 0, up 0, gate 1, …; else all of gate, then all of up
  bool inputs_first = false;  // [experts, inputs, outputs]; else [experts, outputs, inputs]
};

struct MoeOptions {
  std::int64_t hidden_size = 0;
  std::int64_t ffn_size = 0;  // of one expert
  ops::RouterOptions router;  // experts, chosen, and how their weights come about
  bool router_bias = false;   // gpt-oss: on the logits
  bool choice_bias = false;   // DeepSeek V3: on the scores, for the choice alone
  ops::Activation activation = ops::Activation::kSilu;
  float clamp = 0;                   // of kClampedSwiglu
  bool expert_bias = false;          // gpt-oss
  bool weigh_input = false;          // Llama 4
  std::int64_t shared_ffn_size = 0;  // of the shared expert; 0: none
  FusedExperts fused;
};

class MixtureOfExperts {
 public:
  static Result<MixtureOfExperts> load(WeightLoader& loader, int layer, const MoeOptions& options);

  // out[rows, hidden] = moe(x[rows, hidden]) + residual (may be out itself, or null: nothing).
  void forward(ops::Ops& ops, const float* x, std::int64_t rows, Workspace workspace, const float* residual,
               float* out) const;
  static std::size_t workspace_bytes(const MoeOptions& options, std::int64_t rows);

 private:
  MoeOptions options_;
  ops::Weight router_;
  std::vector<float> router_bias_, choice_bias_;
  ops::ExpertSet experts_;
  std::optional<GatedMlp> shared_;
};

// Parameters of one layer's mixture: all of them, and those that one token touches.
std::int64_t parameter_count(const MoeOptions& options);
std::int64_t active_parameter_count(const MoeOptions& options);

}  // namespace maestrale::nn
