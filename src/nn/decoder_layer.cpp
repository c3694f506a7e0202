#include "nn/decoder_layer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace maestrale::nn {
namespace {

Result<std::variant<SelfAttention, LatentAttention>> load_attention(WeightLoader& loader, int layer,
                                                                    const DenseDecoderOptions& options) {
  std::variant<SelfAttention, LatentAttention> attention;
  if (options.latent) {
    LatentAttentionOptions latent = *options.latent;
    // The head's first row has no state before it.
    latent.first_key = options.mtp && layer == std::ssize(options.layers) ? 1 : 0;
    attention = TRY(LatentAttention::load(loader, layer, latent));
  } else {
    attention = TRY(SelfAttention::load(loader, layer, options.layers[static_cast<std::size_t>(layer)]));
  }
  return attention;
}

std::int64_t attention_parameters(const DenseDecoderOptions& options, int index) {
  if (options.latent) return parameter_count(*options.latent);
  const AttentionBlockOptions& layer = options.layers[static_cast<std::size_t>(index)];
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

// h += block's output in `from` · scale, through a post-norm where the family has one.
void add_block(ops::Ops& ops, const DenseDecoderOptions& options, const std::vector<float>& post_norm,
               float scale, float* from, std::int64_t rows, float* h) {
  if (post_norm.empty()) return;  // the block has added to h itself
  // The norm of scale · y is the norm of y with eps / scale².
  ops.rms_norm(from, post_norm.data(), options.eps() / (scale * scale), rows, options.hidden_size(), from);
  ops.add(from, rows, options.hidden_size(), h);
}

}  // namespace

Result<DecoderLayer> DecoderLayer::load(WeightLoader& loader, int index, const DenseDecoderOptions& options) {
  const std::int64_t hidden = options.hidden_size();
  const std::string prefix = "blk." + std::to_string(index) + ".";
  DecoderLayer layer;
  layer.attention_norm_ = TRY(loader.norm(prefix + "attn_norm", hidden));
  layer.ffn_norm_ = TRY(loader.norm(prefix + "ffn_norm", hidden));
  layer.attention_ = TRY(load_attention(loader, index, options));
  if (options.has_mlp(index)) {
    layer.mlp_ = TRY(GatedMlp::load(
        loader, index,
        {.hidden_size = hidden, .ffn_size = options.ffn_size, .activation = options.activation}));
  }
  if (options.has_moe(index)) layer.moe_ = TRY(MixtureOfExperts::load(loader, index, *options.moe));
  if (options.post_norms) {
    layer.attention_post_norm_ = TRY(loader.norm(prefix + "post_attention_norm", hidden));
    layer.ffn_post_norm_ = TRY(loader.norm(prefix + "post_ffw_norm", hidden));
  }
  return layer;
}

std::size_t DecoderLayer::workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows) {
  return std::max(options.latent ? LatentAttention::workspace_bytes(*options.latent, rows)
                                 : SelfAttention::workspace_bytes(options.layers.front(), rows),
                  feed_forward_bytes(options, rows));
}

void DecoderLayer::forward(ops::Ops& ops, const DenseDecoderOptions& options, const Buffers& buffers,
                           const ops::BatchRows& rows, ops::KvCache& cache, Workspace workspace) const {
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  const std::int64_t hidden = options.hidden_size();
  const auto& [h, normed, block] = buffers;
  const float* residual = options.post_norms ? nullptr : h;
  ops.rms_norm(h, attention_norm_.data(), options.eps(), n, hidden, normed);
  std::visit(
      [&, normed = normed, block = block](const auto& attention) {
        attention.forward(ops, normed, rows, cache, workspace, residual, block);
      },
      attention_);
  add_block(ops, options, attention_post_norm_, 1, block, n, h);
  ops.rms_norm(h, ffn_norm_.data(), options.eps(), n, hidden, normed);
  if (mlp_) mlp_->forward(ops, normed, n, workspace, residual, block);
  if (moe_) moe_->forward(ops, normed, n, workspace, mlp_ ? block : residual, block);
  add_block(ops, options, ffn_post_norm_, options.ffn_scale, block, n, h);
}

void DecoderLayer::store(ops::Ops& ops, const DenseDecoderOptions& options, const float* h, float* normed,
                         const ops::BatchRows& rows, ops::KvCache& cache, Workspace workspace) const {
  const auto* attention = std::get_if<LatentAttention>(&attention_);
  CHECK(attention != nullptr, "only latent attention stores rows alone");
  ops.rms_norm(h, attention_norm_.data(), options.eps(), static_cast<std::int64_t>(rows.positions.size()),
               options.hidden_size(), normed);
  attention->store(ops, normed, rows, cache, workspace);
}

ParameterCount parameter_count(const DenseDecoderOptions& options, int layer) {
  std::int64_t both =
      attention_parameters(options, layer) + (options.post_norms ? 4 : 2) * options.hidden_size();
  if (options.has_mlp(layer)) both += 3 * options.hidden_size() * options.ffn_size;
  if (!options.has_moe(layer)) return {both, both};
  return {both + parameter_count(*options.moe), both + active_parameter_count(*options.moe)};
}

}  // namespace maestrale::nn
