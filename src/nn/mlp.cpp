#include "nn/mlp.h"

#include <array>
#include <string>

namespace maestrale::nn {

Result<GatedMlp> GatedMlp::load(WeightLoader& loader, int layer, const GatedMlpOptions& options) {
  GatedMlp block;
  block.activation_ = options.activation;
  const std::string prefix = "blk." + std::to_string(layer) + ".ffn_";
  const std::string suffix(options.suffix);
  block.gate_ = TRY(loader.matrix(prefix + "gate" + suffix, options.ffn_size, options.hidden_size));
  block.up_ = TRY(loader.matrix(prefix + "up" + suffix, options.ffn_size, options.hidden_size));
  block.down_ = TRY(loader.matrix(prefix + "down" + suffix, options.hidden_size, options.ffn_size));
  return block;
}

std::size_t GatedMlp::workspace_bytes(std::int64_t ffn_size, std::int64_t rows) {
  Workspace counting;
  counting.floats(rows * ffn_size);
  counting.floats(rows * ffn_size);
  return counting.used();
}

void GatedMlp::forward(ops::Ops& ops, const float* x, std::int64_t rows, Workspace workspace,
                       const float* residual, float* out) const {
  const std::int64_t width = gate_.rows;
  float* gate = workspace.floats(rows * width);
  float* up = workspace.floats(rows * width);
  const std::array in = {ops::Projection{&gate_, gate, width, nullptr, nullptr},
                         ops::Projection{&up_, up, width, nullptr, nullptr}};
  ops.linear(x, rows, gate_.columns, in);
  ops.gated(activation_, gate, up, rows, width, gate);
  const std::array down = {ops::Projection{&down_, out, down_.rows, nullptr, residual}};
  ops.linear(gate, rows, width, down);
}

}  // namespace maestrale::nn
