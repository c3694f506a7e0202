#include "nn/mamba.h"

#include <array>
#include <cmath>
#include <string>

namespace maestrale::nn {
namespace {

// Files keep [channels, 1, width] or [channels, width]; the kernel reads [width, channels].
Result<std::vector<float>> load_conv(WeightLoader& loader, const std::string& name, std::int64_t channels,
                                     int width) {
  const std::vector<float> stored = TRY(loader.array(name, channels * width));
  std::vector<float> weight(stored.size());
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    for (std::int64_t k = 0; k < width; ++k) {
      weight[static_cast<std::size_t>(k * channels + channel)] =
          stored[static_cast<std::size_t>(channel * width + k)];
    }
  }
  return weight;
}

// Files of PyTorch keep ln(-decay), GGUF the decay itself.
Result<std::vector<float>> load_decay(WeightLoader& loader, const std::string& name, std::int64_t heads) {
  std::vector<float> values = TRY(loader.array(name, heads, ""));
  if (loader.dialect() == files::Dialect::kGguf) return values;
  for (float& value : values) value = static_cast<float>(-std::exp(static_cast<double>(value)));
  return values;
}

}  // namespace

Result<MambaMixer> MambaMixer::load(WeightLoader& loader, int layer, const MambaOptions& options) {
  MambaMixer block;
  block.options_ = options;
  block.layer_ = layer;
  const std::string prefix = "blk." + std::to_string(layer) + ".ssm_";
  block.in_ = TRY(loader.matrix(prefix + "in", options.projected_size(), options.hidden_size));
  block.conv_weight_ = TRY(load_conv(loader, prefix + "conv1d", options.conv_channels(), options.conv_width));
  block.conv_bias_ = TRY(loader.vector(prefix + "conv1d", options.conv_channels(), "bias"));
  block.step_bias_ = TRY(loader.array(prefix + "dt", options.heads, "bias"));
  block.decay_ = TRY(load_decay(loader, prefix + "a", options.heads));
  block.skip_ = TRY(loader.array(prefix + "d", options.heads, ""));
  block.norm_ = TRY(loader.array(prefix + "norm", options.inner_size()));
  block.out_ = TRY(loader.matrix(prefix + "out", options.hidden_size, options.inner_size()));
  return block;
}

MambaMixer::Buffers MambaMixer::carve(const MambaOptions& options, std::int64_t rows, Workspace& workspace) {
  return {.projected = workspace.floats(rows * options.projected_size()),
          .convolved = workspace.floats(rows * options.conv_channels()),
          .y = workspace.floats(rows * options.inner_size())};
}

std::size_t MambaMixer::workspace_bytes(const MambaOptions& options, std::int64_t rows) {
  Workspace counting;
  carve(options, rows, counting);
  return counting.used();
}

void MambaMixer::forward(ops::Ops& ops, const float* x, const ops::BatchRows& rows, ops::KvCache& cache,
                         Workspace workspace, float* residual) const {
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  const std::int64_t inner = options_.inner_size();
  const std::int64_t stride = options_.projected_size();  // [gate | x, in, out | step]
  const Buffers buffers = carve(options_, n, workspace);
  const std::array in = {ops::Projection{&in_, buffers.projected, stride, nullptr, nullptr}};
  ops.linear(x, n, options_.hidden_size, in);
  ops.causal_conv(buffers.projected + inner, stride,
                  {.channels = options_.conv_channels(),
                   .width = options_.conv_width,
                   .weight = conv_weight_,
                   .bias = conv_bias_},
                  layer_, rows, cache, buffers.convolved);
  ops.scan({.heads = options_.heads,
            .head_size = options_.head_size,
            .groups = options_.groups,
            .state_size = options_.state_size,
            .decay = decay_,
            .step_bias = step_bias_,
            .skip = skip_},
           {.x = buffers.convolved,
            .x_stride = options_.conv_channels(),
            .step = buffers.projected + inner + options_.conv_channels(),
            .step_stride = stride},
           layer_, rows, cache, buffers.y);
  const std::int64_t width = inner / options_.groups;
  for (std::int64_t row = 0; row < n; ++row) {
    float* y = buffers.y + row * inner;
    ops.gated(ops::Activation::kSilu, buffers.projected + row * stride, y, 1, inner, y);
    for (std::int64_t group = 0; group < options_.groups; ++group) {
      ops.rms_norm(y + group * width, norm_.data() + group * width, options_.eps, 1, width,
                   y + group * width);
    }
  }
  const std::array out = {ops::Projection{&out_, residual, options_.hidden_size, nullptr, residual}};
  ops.linear(buffers.y, n, inner, out);
}

std::int64_t parameter_count(const MambaOptions& options) {
  return options.hidden_size * (options.projected_size() + options.inner_size()) +
         options.conv_channels() * (options.conv_width + 1) + 3 * std::int64_t{options.heads} +
         options.inner_size();
}

}  // namespace maestrale::nn
