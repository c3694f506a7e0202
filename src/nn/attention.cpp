#include "nn/attention.h"

#include <array>
#include <cmath>
#include <string>

namespace maestrale::nn {
namespace {

const float* data_or_null(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

}  // namespace

float QueryTemperature::at(std::int32_t position) const {
  return static_cast<float>(1.0 + beta * std::log(1.0 + std::floor(static_cast<double>(position) / length)));
}

Result<SelfAttention> SelfAttention::load(WeightLoader& loader, int layer, const AttentionBlockOptions& options) {
  SelfAttention block;
  block.options_ = options;
  block.layer_ = layer;
  const std::string prefix = "blk." + std::to_string(layer) + ".attn_";
  const std::int64_t q_rows = std::int64_t{options.heads} * options.head_size;
  const std::int64_t kv_rows = std::int64_t{options.kv_heads} * options.head_size;
  block.q_ = TRY(loader.matrix(prefix + "q", q_rows, options.hidden_size));
  block.k_ = TRY(loader.matrix(prefix + "k", kv_rows, options.hidden_size));
  block.v_ = TRY(loader.matrix(prefix + "v", kv_rows, options.hidden_size));
  block.output_ = TRY(loader.matrix(prefix + "output", options.hidden_size, q_rows));
  if (options.qkv_bias) {
    block.q_bias_ = TRY(loader.vector(prefix + "q", q_rows, "bias"));
    block.k_bias_ = TRY(loader.vector(prefix + "k", kv_rows, "bias"));
    block.v_bias_ = TRY(loader.vector(prefix + "v", kv_rows, "bias"));
  }
  if (options.head_norm) {
    block.q_norm_ = TRY(loader.norm(prefix + "q_norm", options.head_size));
    block.k_norm_ = TRY(loader.norm(prefix + "k_norm", options.head_size));
  }
  block.frequencies_ = rope_frequencies(options.rope);
  return block;
}

SelfAttention::Buffers SelfAttention::carve(const AttentionBlockOptions& options, std::int64_t rows,
                                            Workspace& workspace) {
  const std::int64_t q_width = std::int64_t{options.heads} * options.head_size;
  const std::int64_t kv_width = std::int64_t{options.kv_heads} * options.head_size;
  return {.q = workspace.floats(rows * q_width),
          .k = workspace.floats(rows * kv_width),
          .v = workspace.floats(rows * kv_width),
          .out = workspace.floats(rows * q_width),
          .row_scale = workspace.floats(rows)};
}

std::size_t SelfAttention::workspace_bytes(const AttentionBlockOptions& options, std::int64_t rows) {
  Workspace counting;
  carve(options, rows, counting);
  return counting.used();
}

void SelfAttention::rotate(ops::Ops& ops, const Buffers& buffers, const ops::BatchRows& rows) const {
  const ops::RopeTable table{.pairing = options_.rope.pairing,
                             .inverse_frequencies = frequencies_,
                             .magnitude = static_cast<float>(options_.rope.magnitude)};
  std::span<const float> q_scale;
  if (options_.temperature) {
    for (std::size_t i = 0; i < rows.positions.size(); ++i) {
      buffers.row_scale[i] = options_.temperature->at(rows.positions[i]);
    }
    q_scale = {buffers.row_scale, rows.positions.size()};
  }
  ops.rope(buffers.q, std::int64_t{options_.heads} * options_.head_size, options_.heads, options_.head_size,
           rows.positions, table, q_scale);
  ops.rope(buffers.k, std::int64_t{options_.kv_heads} * options_.head_size, options_.kv_heads, options_.head_size,
           rows.positions, table, {});
}

void SelfAttention::forward(ops::Ops& ops, const float* x, const ops::BatchRows& rows, ops::KvCache& cache,
                            Workspace workspace, const float* residual, float* out) const {
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  const Buffers buffers = carve(options_, n, workspace);
  const std::array projections = {
      ops::Projection{&q_, buffers.q, q_.rows, data_or_null(q_bias_), nullptr},
      ops::Projection{&k_, buffers.k, k_.rows, data_or_null(k_bias_), nullptr},
      ops::Projection{&v_, buffers.v, v_.rows, data_or_null(v_bias_), nullptr},
  };
  ops.linear(x, n, options_.hidden_size, projections);
  if (options_.head_norm) {
    ops.rms_norm(buffers.q, q_norm_.data(), options_.eps, n * options_.heads, options_.head_size, buffers.q);
    ops.rms_norm(buffers.k, k_norm_.data(), options_.eps, n * options_.kv_heads, options_.head_size, buffers.k);
  }
  rotate(ops, buffers, rows);
  ops.store_kv(buffers.k, buffers.v, layer_, rows, cache);
  const float scale = options_.score_scale > 0 ? options_.score_scale
                                               : 1.0f / std::sqrt(static_cast<float>(options_.head_size));
  const ops::AttentionOptions attention{.heads = options_.heads,
                                        .kv_heads = options_.kv_heads,
                                        .head_size = options_.head_size,
                                        .scale = scale,
                                        .window = options_.window,
                                        .soft_cap = options_.soft_cap};
  ops.attention(buffers.q, layer_, rows, cache, attention, buffers.out);
  const std::array output = {ops::Projection{&output_, out, options_.hidden_size, nullptr, residual}};
  ops.linear(buffers.out, n, output_.columns, output);
}

}  // namespace maestrale::nn
