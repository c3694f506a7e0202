#include "nn/encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace maestrale::nn {

std::vector<float> distance_slopes(int heads) {
  int whole = 1;
  while (2 * whole <= heads) whole *= 2;
  std::vector<float> slopes;
  for (int i = 0; i < heads; ++i) {
    const double power = i < whole ? 8.0 * (i + 1) / whole : 4.0 * (2 * (i - whole) + 1) / whole;
    slopes.push_back(static_cast<float>(std::exp2(-power)));
  }
  return slopes;
}

ops::Projection Encoder::Matrix::to(float* out, const float* residual) const {
  return {&weight, out, weight.rows, bias.empty() ? nullptr : bias.data(), residual};
}

Result<Encoder::Norm> Encoder::load_norm(WeightLoader& loader, const std::string& name, std::int64_t n) {
  Norm norm;
  norm.weight = TRY(loader.vector(name, n));
  norm.bias = TRY(loader.vector(name, n, "bias"));
  return norm;
}

Result<Encoder::Matrix> Encoder::load_matrix(WeightLoader& loader, const std::string& name, std::int64_t rows,
                                             std::int64_t columns, bool bias) {
  Matrix matrix;
  matrix.weight = TRY(loader.matrix(name, rows, columns));
  if (bias) matrix.bias = TRY(loader.vector(name, rows, "bias"));
  return matrix;
}

Status Encoder::load_parts(WeightLoader& loader, const std::string& name, std::int64_t rows,
                           std::int64_t columns, bool bias, std::span<Matrix* const> parts) {
  const auto count = static_cast<std::int64_t>(parts.size());
  const WeightLoader::ScaledTensor whole = TRY(loader.scaled(name, std::array{count * rows, columns}));
  if (!whole.scale_values.empty()) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "tensor '" + whole.tensor->name + "' is stored as codes with scales beside them",
                 .hint = "convert the model to another type"};
  }
  std::vector<float> biases;
  if (bias) biases = TRY(loader.vector(name, count * rows, "bias"));
  for (std::int64_t i = 0; i < count; ++i) {
    TensorView part = *whole.tensor;
    part.shape = {rows, columns};
    part.data = whole.tensor->data.subspan(whole.tensor->row_bytes() * static_cast<std::size_t>(i * rows),
                                           whole.tensor->row_bytes() * static_cast<std::size_t>(rows));
    Matrix& matrix = *parts[static_cast<std::size_t>(i)];
    matrix.weight = TRY(loader.pack(part, {}));
    if (bias) matrix.bias.assign(biases.begin() + i * rows, biases.begin() + (i + 1) * rows);
  }
  loader.done_with(*whole.tensor);
  return {};
}

Result<Encoder::Layer> Encoder::load_layer(WeightLoader& loader, int index, const EncoderOptions& options) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  const std::int64_t hidden = options.hidden_size, ffn = options.ffn_size;
  Layer layer;
  if (options.fused_qkv) {
    const std::array<Matrix*, 3> parts = {&layer.q, &layer.k, &layer.v};
    TRY(load_parts(loader, prefix + "attn_qkv", hidden, hidden, options.attention_bias, parts));
  } else {
    layer.q = TRY(load_matrix(loader, prefix + "attn_q", hidden, hidden, options.attention_bias));
    layer.k = TRY(load_matrix(loader, prefix + "attn_k", hidden, hidden, options.attention_bias));
    layer.v = TRY(load_matrix(loader, prefix + "attn_v", hidden, hidden, options.attention_bias));
  }
  layer.output = TRY(load_matrix(loader, prefix + "attn_output", hidden, hidden, options.attention_bias));
  if (options.fused_gate_up) {
    const std::array<Matrix*, 2> parts = {&layer.gate, &layer.up};
    TRY(load_parts(loader, prefix + "ffn_gate_up", ffn, hidden, options.up_bias, parts));
  } else {
    if (options.gated)
      layer.gate = TRY(load_matrix(loader, prefix + "ffn_gate", ffn, hidden, options.up_bias));
    layer.up = TRY(load_matrix(loader, prefix + "ffn_up", ffn, hidden, options.up_bias));
  }
  layer.down = TRY(load_matrix(loader, prefix + "ffn_down", hidden, ffn, options.down_bias));
  layer.attention_norm = TRY(load_norm(loader, prefix + "attn_output_norm", hidden));
  layer.output_norm = TRY(load_norm(loader, prefix + "layer_output_norm", hidden));
  return layer;
}

Result<Encoder> Encoder::load(WeightLoader& loader, const EncoderOptions& options) {
  Encoder encoder;
  encoder.options_ = options;
  const std::int64_t hidden = options.hidden_size;
  encoder.tokens_ = TRY(loader.table("token_embd", options.vocabulary, hidden, encoder.token_values_));
  if (options.types > 0)
    encoder.types_ = TRY(loader.table("token_types", options.types, hidden, encoder.type_values_));
  if (options.positions > 0)
    encoder.positions_ =
        TRY(loader.table("position_embd", options.positions, hidden, encoder.position_values_));
  encoder.norm_ = TRY(load_norm(loader, "token_embd_norm", hidden));
  for (int index = 0; index < options.layers; ++index)
    encoder.layers_.push_back(TRY(load_layer(loader, index, options)));
  if (options.labels > 0) {
    encoder.dense_ = TRY(load_matrix(loader, "cls", hidden, hidden, true));
    encoder.score_ = TRY(load_matrix(loader, "cls.output", options.labels, hidden, true));
  }
  if (options.rope) encoder.frequencies_ = rope_frequencies(*options.rope);
  if (options.distances) encoder.slopes_ = distance_slopes(options.heads);
  TRY(loader.finish());
  return encoder;
}

Encoder::Buffers Encoder::carve(const EncoderOptions& options, std::int64_t rows, Workspace& workspace) {
  const std::int64_t hidden = rows * options.hidden_size, ffn = rows * options.ffn_size;
  return {.h = workspace.floats(hidden),
          .q = workspace.floats(hidden),
          .k = workspace.floats(hidden),
          .v = workspace.floats(hidden),
          .attended = workspace.floats(hidden),
          .gate = workspace.floats(options.gated ? ffn : 0),
          .up = workspace.floats(ffn)};
}

std::size_t Encoder::workspace_bytes(const EncoderOptions& options, std::int64_t rows) {
  Workspace counting;
  carve(options, rows, counting);
  return counting.used();
}

void Encoder::normalise(ops::Ops& ops, const Norm& norm, std::int64_t rows, float* h) const {
  ops.layer_norm(h, norm.weight.data(), norm.bias.data(), options_.eps, rows, options_.hidden_size, h);
}

// h = norm(token + type + position), each row of its table.
void Encoder::embed(ops::Ops& ops, std::span<const std::int32_t> tokens, std::span<const std::int32_t> types,
                    const ops::BatchRows& rows, const Buffers& buffers) const {
  const auto n = static_cast<std::int64_t>(tokens.size());
  ops.embed(tokens_, tokens, 1, buffers.h);
  auto* index = reinterpret_cast<std::int32_t*>(buffers.k);  // free until the first layer
  const std::span<const std::int32_t> indices(index, tokens.size());
  if (options_.types > 0) {
    const auto last = static_cast<std::int32_t>(options_.types - 1);  // RoBERTa: the only one
    for (std::size_t i = 0; i < tokens.size(); ++i) index[i] = types.empty() ? 0 : std::min(types[i], last);
    ops.embed(types_, indices, 1, buffers.q);
    ops.add(buffers.q, n, options_.hidden_size, buffers.h);
  }
  if (options_.positions > 0) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      index[i] = rows.positions[i] + static_cast<std::int32_t>(options_.first_position);
    ops.embed(positions_, indices, 1, buffers.q);
    ops.add(buffers.q, n, options_.hidden_size, buffers.h);
  }
  normalise(ops, norm_, n, buffers.h);
}

void Encoder::attend(ops::Ops& ops, const Layer& layer, const ops::BatchRows& rows, ops::KvCache& cache,
                     const Buffers& buffers) const {
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  const std::array inputs = {layer.q.to(buffers.q), layer.k.to(buffers.k), layer.v.to(buffers.v)};
  ops.linear(buffers.h, n, options_.hidden_size, inputs);
  if (options_.rope) {
    const ops::RopeTable table{.pairing = options_.rope->pairing,
                               .inverse_frequencies = frequencies_,
                               .magnitude = static_cast<float>(options_.rope->magnitude)};
    for (float* x : {buffers.q, buffers.k})
      ops.rope(x, options_.hidden_size, options_.heads, options_.head_size(), rows.positions, table, {});
  }
  constexpr int kOnlyLayer = 0;  // nothing is remembered: the next layer overwrites this one's keys
  ops.store_kv(buffers.k, buffers.v, kOnlyLayer, rows, cache);
  ops::AttentionOptions attention{.heads = options_.heads,
                                  .kv_heads = options_.heads,
                                  .head_size = options_.head_size(),
                                  .scale = 1.0f / std::sqrt(static_cast<float>(options_.head_size()))};
  attention.both_ways = true;
  attention.distance_slopes = slopes_;
  ops.attention(buffers.q, kOnlyLayer, rows, cache, attention, buffers.attended);
  const std::array output = {layer.output.to(buffers.h, buffers.h)};
  ops.linear(buffers.attended, n, options_.hidden_size, output);
  normalise(ops, layer.attention_norm, n, buffers.h);
}

void Encoder::feed_forward(ops::Ops& ops, const Layer& layer, std::int64_t rows,
                           const Buffers& buffers) const {
  if (options_.gated) {
    const std::array inputs = {layer.gate.to(buffers.gate), layer.up.to(buffers.up)};
    ops.linear(buffers.h, rows, options_.hidden_size, inputs);
    ops.gated(options_.activation, buffers.gate, buffers.up, rows, options_.ffn_size, buffers.up);
  } else {
    const std::array inputs = {layer.up.to(buffers.up)};
    ops.linear(buffers.h, rows, options_.hidden_size, inputs);
    ops.gated(options_.activation, buffers.up, nullptr, rows, options_.ffn_size, buffers.up);
  }
  const std::array output = {layer.down.to(buffers.h, buffers.h)};
  ops.linear(buffers.up, rows, options_.ffn_size, output);
  normalise(ops, layer.output_norm, rows, buffers.h);
}

void Encoder::states(ops::Ops& ops, std::span<const std::int32_t> tokens, std::span<const std::int32_t> types,
                     const ops::BatchRows& rows, std::span<const std::int32_t> wanted, ops::KvCache& cache,
                     Workspace workspace, float* out) const {
  const auto n = static_cast<std::int64_t>(tokens.size());
  const Buffers buffers = carve(options_, n, workspace);
  embed(ops, tokens, types, rows, buffers);
  for (const Layer& layer : layers_) {
    attend(ops, layer, rows, cache, buffers);
    feed_forward(ops, layer, n, buffers);
  }
  for (const std::int32_t row : wanted) {
    out = std::copy_n(buffers.h + row * options_.hidden_size, options_.hidden_size, out);
  }
}

void Encoder::scores(ops::Ops& ops, std::span<const std::int32_t> tokens, std::span<const std::int32_t> types,
                     const ops::BatchRows& rows, std::span<const std::int32_t> wanted, ops::KvCache& cache,
                     Workspace workspace, float* out) const {
  if (wanted.empty()) return;
  const auto n = static_cast<std::int64_t>(wanted.size());
  Workspace again = workspace;  // states() carves the same buffers and needs only h at its end
  const Buffers buffers = carve(options_, static_cast<std::int64_t>(tokens.size()), again);
  states(ops, tokens, types, rows, wanted, cache, workspace, buffers.q);
  const std::array dense = {dense_.to(buffers.k)};
  ops.linear(buffers.q, n, options_.hidden_size, dense);
  for (std::int64_t i = 0; i < n * options_.hidden_size; ++i)
    buffers.k[i] = static_cast<float>(std::tanh(static_cast<double>(buffers.k[i])));
  const std::array score = {score_.to(out)};
  ops.linear(buffers.k, n, options_.hidden_size, score);
}

std::int64_t parameter_count(const EncoderOptions& options) {
  const std::int64_t hidden = options.hidden_size, ffn = options.ffn_size;
  std::int64_t layer = 4 * hidden * hidden + (options.gated ? 3 : 2) * hidden * ffn + 4 * hidden;
  if (options.attention_bias) layer += 4 * hidden;
  if (options.up_bias) layer += (options.gated ? 2 : 1) * ffn;
  if (options.down_bias) layer += hidden;
  const std::int64_t tables = options.vocabulary + options.types + options.positions;
  const std::int64_t head = options.labels > 0 ? hidden * hidden + hidden + options.labels * (hidden + 1) : 0;
  return tables * hidden + 2 * hidden + options.layers * layer + head;
}

}  // namespace maestrale::nn
