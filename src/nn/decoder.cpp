#include "nn/decoder.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace maestrale::nn {

Result<DenseDecoder> DenseDecoder::load(WeightLoader& loader, const DenseDecoderOptions& options) {
  DenseDecoder decoder;
  decoder.options_ = options;
  const std::int64_t hidden = options.hidden_size();
  decoder.embedding_ = TRY(loader.table("token_embd", options.vocabulary, hidden, decoder.embedding_values_));
  for (int index = 0; index < static_cast<int>(options.layers.size()); ++index) {
    const std::string prefix = "blk." + std::to_string(index) + ".";
    decoder.layers_.push_back(Layer{
        .attention_norm = TRY(loader.vector(prefix + "attn_norm", hidden)),
        .ffn_norm = TRY(loader.vector(prefix + "ffn_norm", hidden)),
        .attention = TRY(SelfAttention::load(loader, index, options.layers[static_cast<std::size_t>(index)])),
        .mlp = TRY(GatedMlp::load(loader, index, hidden, options.ffn_size)),
    });
  }
  decoder.norm_ = TRY(loader.vector("output_norm", hidden));
  // A file may say that the head is tied and store it all the same: the stored one is what was trained.
  const char* head = loader.has("output") ? "output" : "token_embd";
  decoder.head_ = TRY(loader.matrix(head, options.vocabulary, hidden));
  TRY(loader.finish());
  return decoder;
}

std::size_t DenseDecoder::workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows) {
  Workspace counting;
  counting.floats(rows * options.hidden_size());
  counting.floats(rows * options.hidden_size());
  return counting.used() + std::max(SelfAttention::workspace_bytes(options.layers.front(), rows),
                                    GatedMlp::workspace_bytes(options.ffn_size, rows));
}

void DenseDecoder::forward(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
                           std::span<const std::int32_t> logit_rows, ops::KvCache& cache, Workspace workspace,
                           float* logits) const {
  const auto n = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden = options_.hidden_size();
  float* h = workspace.floats(n * hidden);
  float* normed = workspace.floats(n * hidden);
  ops.embed(embedding_, tokens, h);
  for (const Layer& layer : layers_) {
    ops.rms_norm(h, layer.attention_norm.data(), options_.eps(), n, hidden, normed);
    layer.attention.forward(ops, normed, rows, cache, workspace, h);
    ops.rms_norm(h, layer.ffn_norm.data(), options_.eps(), n, hidden, normed);
    layer.mlp.forward(ops, normed, n, workspace, h);
  }
  for (std::size_t i = 0; i < logit_rows.size(); ++i) {  // the wanted rows move to the front, in order
    const float* from = h + std::int64_t{logit_rows[i]} * hidden;
    std::copy(from, from + hidden, h + static_cast<std::int64_t>(i) * hidden);
  }
  const auto wanted = static_cast<std::int64_t>(logit_rows.size());
  if (wanted == 0) return;
  ops.rms_norm(h, norm_.data(), options_.eps(), wanted, hidden, normed);
  const std::array head = {ops::Projection{&head_, logits, options_.vocabulary, nullptr, nullptr}};
  ops.linear(normed, wanted, hidden, head);
}

std::int64_t parameter_count(const DenseDecoderOptions& options) {
  const std::int64_t hidden = options.hidden_size();
  std::int64_t total = options.vocabulary * hidden * (options.tied_head ? 1 : 2) + hidden;
  for (const AttentionBlockOptions& layer : options.layers) {
    const std::int64_t q = std::int64_t{layer.heads} * layer.head_size;
    const std::int64_t kv = std::int64_t{layer.kv_heads} * layer.head_size;
    total += 2 * hidden * q + 2 * hidden * kv + 3 * hidden * options.ffn_size + 2 * hidden;
    if (layer.qkv_bias) total += q + 2 * kv;
    if (layer.head_norm) total += 2 * std::int64_t{layer.head_size};
  }
  return total;
}

}  // namespace maestrale::nn
