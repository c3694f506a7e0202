#include "nn/attention.h"

#include <array>
#include <cmath>
#include <string>

namespace maestrale::nn {
namespace {

const float* data_or_null(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

float QueryTemperature::at(std::int32_t position) const {
  const double p = position;
  if (form == Form::kRatio) return p > length ? static_cast<float>(std::log(p) / std::log(length)) : 1.0f;
  return static_cast<float>(1.0 + beta * std::log(1.0 + std::floor((p + offset) / length)));
}

Result<SelfAttention> SelfAttention::load(WeightLoader& loader, int layer,
                                          const AttentionBlockOptions& options) {
  SelfAttention block;
  block.options_ = options;
  block.layer_ = layer;
  const std::string prefix = "blk." + std::to_string(layer) + ".attn_";
  const std::int64_t q_rows = std::int64_t{options.heads} * options.head_size;
  const std::int64_t kv_rows = std::int64_t{options.kv_heads} * options.head_size;
  const bool paired = options.rope.pairing == ops::RopePairing::kInterleaved && !options.pairs_everywhere;
  const std::int64_t paired_head = paired ? options.head_size : 0;
  block.q_ = TRY(loader.matrix(prefix + "q", q_rows, options.hidden_size, paired_head));
  block.k_ = TRY(loader.matrix(prefix + "k", kv_rows, options.hidden_size, paired_head));
  block.v_ = TRY(loader.matrix(prefix + "v", kv_rows, options.hidden_size));
  block.output_ = TRY(loader.matrix(prefix + "output", options.hidden_size, q_rows));
  if (options.qkv_bias) {
    block.q_bias_ = TRY(loader.vector(prefix + "q", q_rows, "bias"));
    block.k_bias_ = TRY(loader.vector(prefix + "k", kv_rows, "bias"));
    block.v_bias_ = TRY(loader.vector(prefix + "v", kv_rows, "bias"));
  }
  if (options.output_bias)
    block.output_bias_ = TRY(loader.vector(prefix + "output", options.hidden_size, "bias"));
  if (options.sinks) block.sinks_ = TRY(loader.vector(prefix + "sinks", options.heads));
  if (options.rotated_norm) {
    block.q_norm_.assign(static_cast<std::size_t>(options.head_size), 1.0f);
    block.k_norm_ = block.q_norm_;
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
  ops.rope(buffers.q, std::int64_t{options_.heads} * options_.head_size, options_.heads, options_.head_size,
           rows.positions, table, {});
  ops.rope(buffers.k, std::int64_t{options_.kv_heads} * options_.head_size, options_.kv_heads,
           options_.head_size, rows.positions, table, {});
}

void SelfAttention::normalise_heads(ops::Ops& ops, const Buffers& buffers, std::int64_t rows) const {
  ops.rms_norm(buffers.q, q_norm_.data(), options_.eps, rows * options_.heads, options_.head_size, buffers.q);
  ops.rms_norm(buffers.k, k_norm_.data(), options_.eps, rows * options_.kv_heads, options_.head_size,
               buffers.k);
}

std::span<const float> SelfAttention::temperatures(const Buffers& buffers, const ops::BatchRows& rows) const {
  if (!options_.temperature) return {};
  for (std::size_t i = 0; i < rows.positions.size(); ++i) {
    buffers.row_scale[i] = options_.temperature->at(rows.positions[i]);
  }
  return {buffers.row_scale, rows.positions.size()};
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
  if (options_.head_norm) normalise_heads(ops, buffers, n);
  if (options_.rotated) rotate(ops, buffers, rows);
  if (options_.rotated_norm) normalise_heads(ops, buffers, n);
  ops.store_kv(buffers.k, buffers.v, layer_, rows, cache);
  const float scale = options_.score_scale > 0 ? options_.score_scale
                                               : 1.0f / std::sqrt(static_cast<float>(options_.head_size));
  const ops::AttentionOptions attention{.heads = options_.heads,
                                        .kv_heads = options_.kv_heads,
                                        .head_size = options_.head_size,
                                        .scale = scale,
                                        .window = options_.window,
                                        .chunk = options_.chunk,
                                        .sinks = data_or_null(sinks_),
                                        .row_scale = temperatures(buffers, rows),
                                        .soft_cap = options_.soft_cap};
  ops.attention(buffers.q, layer_, rows, cache, attention, buffers.out);
  const std::array output = {
      ops::Projection{&output_, out, options_.hidden_size, data_or_null(output_bias_), residual}};
  ops.linear(buffers.out, n, output_.columns, output);
}

}  // namespace maestrale::nn
