#include "nn/decoder.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace maestrale::nn {
namespace {

Result<std::variant<SelfAttention, LatentAttention>> load_attention(WeightLoader& loader, int layer,
                                                                    const DenseDecoderOptions& options) {
  std::variant<SelfAttention, LatentAttention> attention;
  if (options.latent) {
    attention = TRY(LatentAttention::load(loader, layer, *options.latent));
  } else {
    attention = TRY(SelfAttention::load(loader, layer, options.layers[static_cast<std::size_t>(layer)]));
  }
  return attention;
}

std::int64_t attention_parameters(const DenseDecoderOptions& options, const AttentionBlockOptions& layer) {
  if (options.latent) return parameter_count(*options.latent);
  const std::int64_t hidden = options.hidden_size();
  const std::int64_t q = std::int64_t{layer.heads} * layer.head_size;
  const std::int64_t kv = std::int64_t{layer.kv_heads} * layer.head_size;
  return 2 * hidden * q + 2 * hidden * kv + (layer.qkv_bias ? q + 2 * kv : 0) +
         (layer.head_norm ? 2 * std::int64_t{layer.head_size} : 0) + (layer.output_bias ? hidden : 0) +
         (layer.sinks ? std::int64_t{layer.heads} : 0);
}

std::size_t feed_forward_bytes(const DenseDecoderOptions& options, std::int64_t rows) {
  std::size_t bytes = 0;
  for (int layer = 0; layer < static_cast<int>(options.layers.size()); ++layer) {
    if (options.has_mlp(layer)) bytes = std::max(bytes, GatedMlp::workspace_bytes(options.ffn_size, rows));
    if (options.has_moe(layer))
      bytes = std::max(bytes, MixtureOfExperts::workspace_bytes(*options.moe, rows));
  }
  return bytes;
}

}  // namespace

Result<DenseDecoder::Layer> DenseDecoder::load_layer(WeightLoader& loader, int index,
                                                     const DenseDecoderOptions& options) {
  const std::int64_t hidden = options.hidden_size();
  const std::string prefix = "blk." + std::to_string(index) + ".";
  auto attention_norm = TRY(loader.norm(prefix + "attn_norm", hidden));
  auto ffn_norm = TRY(loader.norm(prefix + "ffn_norm", hidden));
  auto attention = TRY(load_attention(loader, index, options));
  Layer layer{.attention_norm = std::move(attention_norm),
              .ffn_norm = std::move(ffn_norm),
              .attention_post_norm = {},
              .ffn_post_norm = {},
              .attention = std::move(attention),
              .mlp = {},
              .moe = {}};
  if (options.has_mlp(index)) {
    layer.mlp = TRY(GatedMlp::load(
        loader, index,
        {.hidden_size = hidden, .ffn_size = options.ffn_size, .activation = options.activation}));
  }
  if (options.has_moe(index)) layer.moe = TRY(MixtureOfExperts::load(loader, index, *options.moe));
  if (options.post_norms) {
    layer.attention_post_norm = TRY(loader.norm(prefix + "post_attention_norm", hidden));
    layer.ffn_post_norm = TRY(loader.norm(prefix + "post_ffw_norm", hidden));
  }
  return layer;
}

Result<DenseDecoder> DenseDecoder::load(WeightLoader& loader, const DenseDecoderOptions& options) {
  DenseDecoder decoder;
  decoder.options_ = options;
  const std::int64_t hidden = options.hidden_size();
  loader.set_norm_offset(options.norm_offset);
  if (options.extra_layers) loader.leave_layers_from(static_cast<int>(options.layers.size()));
  decoder.embedding_ = TRY(loader.table("token_embd", options.vocabulary, hidden, decoder.embedding_values_));
  for (int index = 0; index < static_cast<int>(options.layers.size()); ++index) {
    decoder.layers_.push_back(TRY(load_layer(loader, index, options)));
  }
  decoder.norm_ = TRY(loader.norm("output_norm", hidden));
  for (float& weight : decoder.norm_) weight *= options.logit_scale;  // the head is linear
  if (!options.head) {
    TRY(loader.finish());
    return decoder;
  }
  // A file may say that the head is tied and store it all the same: the stored one is what was trained.
  const char* head = loader.has("output") ? "output" : "token_embd";
  decoder.head_ = TRY(loader.matrix(head, options.vocabulary, hidden));
  TRY(loader.finish());
  return decoder;
}

std::size_t DenseDecoder::workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows) {
  Workspace counting;
  for (int buffer = 0; buffer < (options.post_norms ? 3 : 2); ++buffer)
    counting.floats(rows * options.hidden_size());
  return counting.used() + std::max(options.latent
                                        ? LatentAttention::workspace_bytes(*options.latent, rows)
                                        : SelfAttention::workspace_bytes(options.layers.front(), rows),
                                    feed_forward_bytes(options, rows));
}

void DenseDecoder::add_block(ops::Ops& ops, const std::vector<float>& post_norm, float scale, float* from,
                             std::int64_t rows, float* h) const {
  if (post_norm.empty()) return;  // the block has added to h itself
  // The norm of scale · y is the norm of y with eps / scale².
  ops.rms_norm(from, post_norm.data(), options_.eps() / (scale * scale), rows, options_.hidden_size(), from);
  ops.add(from, rows, options_.hidden_size(), h);
}

const float* DenseDecoder::final_states(ops::Ops& ops, std::span<const std::int32_t> tokens,
                                        const ops::BatchRows& rows, std::span<const std::int32_t> logit_rows,
                                        ops::KvCache& cache, Workspace workspace) const {
  const auto n = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden = options_.hidden_size();
  float* h = workspace.floats(n * hidden);
  float* normed = workspace.floats(n * hidden);
  float* block = options_.post_norms ? workspace.floats(n * hidden) : h;  // what a block writes to
  const float* residual = options_.post_norms ? nullptr : h;
  ops.embed(embedding_, tokens, options_.embedding_scale, h);
  for (const Layer& layer : layers_) {
    ops.rms_norm(h, layer.attention_norm.data(), options_.eps(), n, hidden, normed);
    std::visit(
        [&](const auto& attention) {
          attention.forward(ops, normed, rows, cache, workspace, residual, block);
        },
        layer.attention);
    add_block(ops, layer.attention_post_norm, 1, block, n, h);
    ops.rms_norm(h, layer.ffn_norm.data(), options_.eps(), n, hidden, normed);
    if (layer.mlp) layer.mlp->forward(ops, normed, n, workspace, residual, block);
    if (layer.moe) layer.moe->forward(ops, normed, n, workspace, layer.mlp ? block : residual, block);
    add_block(ops, layer.ffn_post_norm, options_.ffn_scale, block, n, h);
  }
  for (std::size_t i = 0; i < logit_rows.size(); ++i) {  // the wanted rows move to the front, in order
    const float* from = h + std::int64_t{logit_rows[i]} * hidden;
    std::copy(from, from + hidden, h + static_cast<std::int64_t>(i) * hidden);
  }
  const auto wanted = static_cast<std::int64_t>(logit_rows.size());
  if (wanted > 0) ops.rms_norm(h, norm_.data(), options_.eps(), wanted, hidden, normed);
  return normed;
}

void DenseDecoder::states(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
                          std::span<const std::int32_t> wanted, ops::KvCache& cache, Workspace workspace,
                          float* out) const {
  const float* normed = final_states(ops, tokens, rows, wanted, cache, workspace);
  const auto n = wanted.size() * static_cast<std::size_t>(options_.hidden_size());
  for (std::size_t i = 0; i < n; ++i) out[i] = normed[i] / options_.logit_scale;
}

void DenseDecoder::forward(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
                           std::span<const std::int32_t> logit_rows, ops::KvCache& cache, Workspace workspace,
                           float* logits) const {
  const float* normed = final_states(ops, tokens, rows, logit_rows, cache, workspace);
  const auto wanted = static_cast<std::int64_t>(logit_rows.size());
  const std::int64_t hidden = options_.hidden_size();
  if (wanted == 0) return;
  const std::array head = {ops::Projection{&head_, logits, options_.vocabulary, nullptr, nullptr}};
  ops.linear(normed, wanted, hidden, head);
  if (options_.logit_soft_cap > 0) ops.soft_cap(logits, wanted, options_.vocabulary, options_.logit_soft_cap);
}

ParameterCount parameter_count(const DenseDecoderOptions& options) {
  const std::int64_t hidden = options.hidden_size();
  ParameterCount count;
  count.total = options.vocabulary * hidden * (options.tied_head ? 1 : 2) + hidden;
  count.active = count.total;
  for (int index = 0; index < static_cast<int>(options.layers.size()); ++index) {
    std::int64_t both = attention_parameters(options, options.layers[static_cast<std::size_t>(index)]);
    both += (options.post_norms ? 4 : 2) * hidden;
    if (options.has_mlp(index)) both += 3 * hidden * options.ffn_size;
    count.total += both + (options.has_moe(index) ? parameter_count(*options.moe) : 0);
    count.active += both + (options.has_moe(index) ? active_parameter_count(*options.moe) : 0);
  }
  return count;
}

}  // namespace maestrale::nn
