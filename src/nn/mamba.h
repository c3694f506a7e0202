// MambaMixer: a Mamba-2 layer (arXiv 2405.21060): a projection, a causal convolution, a state-space scan, and
// a norm over groups of the gated output. In place of keys and values it keeps a state of one size.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/loader.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

struct MambaOptions {
  std::int64_t hidden_size = 0;
  int heads = 0, head_size = 0;
  int groups = 0;      // heads of a group share what enters the state and what is read from it
  int state_size = 0;  // per element of a head; a multiple of 16
  int conv_width = 0;
  float eps = 0;

  std::int64_t inner_size() const { return std::int64_t{heads} * head_size; }
  std::int64_t conv_channels() const { return inner_size() + 2 * std::int64_t{groups} * state_size; }
  std::int64_t projected_size() const { return inner_size() + conv_channels() + heads; }
  ops::StateShape state() const {
    return {.conv = (conv_width - 1) * conv_channels(), .scan = inner_size() * state_size};
  }
};

class MambaMixer {
 public:
  static Result<MambaMixer> load(WeightLoader& loader, int layer, const MambaOptions& options);

  // residual[rows, hidden] += mixer(x[rows, hidden]).
  void forward(ops::Ops& ops, const float* x, const ops::BatchRows& rows, ops::KvCache& cache,
               Workspace workspace, float* residual) const;
  static std::size_t workspace_bytes(const MambaOptions& options, std::int64_t rows);

 private:
  struct Buffers {
    float *projected, *convolved, *y;
  };
  static Buffers carve(const MambaOptions& options, std::int64_t rows, Workspace& workspace);

  MambaOptions options_;
  int layer_ = 0;
  ops::Weight in_, out_;
  std::vector<float> conv_weight_;  // [width, channels]
  std::vector<float> conv_bias_, step_bias_, decay_, skip_, norm_;
};

std::int64_t parameter_count(const MambaOptions& options);

}  // namespace maestrale::nn
