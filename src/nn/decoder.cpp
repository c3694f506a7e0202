#include "nn/decoder.h"

#include <algorithm>
#include <array>
#include <utility>

namespace maestrale::nn {

Result<DenseDecoder> DenseDecoder::load(WeightLoader& loader, const DenseDecoderOptions& options) {
  DenseDecoder decoder;
  decoder.options_ = options;
  const std::int64_t hidden = options.hidden_size();
  loader.set_norm_offset(options.norm_offset);
  const auto layers = static_cast<int>(options.layers.size());
  if (options.leave_further_layers) loader.leave_layers_from(layers + (options.mtp ? 1 : 0));
  decoder.embedding_ = TRY(loader.table("token_embd", options.vocabulary, hidden, decoder.embedding_values_));
  for (int index = 0; index < layers; ++index)
    decoder.layers_.push_back(TRY(DecoderLayer::load(loader, index, options)));
  decoder.norm_ = TRY(loader.norm("output_norm", hidden));
  for (float& weight : decoder.norm_) weight *= options.logit_scale;  // the head is linear
  if (!options.head) {
    TRY(loader.finish());
    return decoder;
  }
  // A file may say that the head is tied and store it all the same: the stored one is what was trained.
  const char* head = loader.has("output") ? "output" : "token_embd";
  decoder.head_ = TRY(loader.matrix(head, options.vocabulary, hidden));
  if (options.mtp) decoder.mtp_ = TRY(MtpHead::load(loader, options));
  TRY(loader.finish());
  return decoder;
}

std::size_t DenseDecoder::workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows) {
  Workspace counting;
  for (int buffer = 0; buffer < (options.post_norms ? 3 : 2); ++buffer)
    counting.floats(rows * options.hidden_size());
  return counting.used() + std::max(DecoderLayer::workspace_bytes(options, rows),
                                    options.mtp ? MtpHead::workspace_bytes(options, rows) : 0);
}

const float* DenseDecoder::final_states(ops::Ops& ops, std::span<const std::int32_t> tokens,
                                        const ops::BatchRows& rows, std::span<const std::int32_t> logit_rows,
                                        ops::KvCache& cache, Workspace workspace) const {
  const auto n = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden = options_.hidden_size();
  float* h = workspace.floats(n * hidden);
  float* normed = workspace.floats(n * hidden);
  const DecoderLayer::Buffers buffers{
      .h = h, .normed = normed, .block = options_.post_norms ? workspace.floats(n * hidden) : h};
  ops.embed(embedding_, tokens, options_.embedding_scale, h);
  for (const DecoderLayer& layer : layers_) layer.forward(ops, options_, buffers, rows, cache, workspace);
  // The wanted rows move to the front, in order.
  const auto gather = [&](float* states) {
    for (std::size_t i = 0; i < logit_rows.size(); ++i) {
      const float* from = states + std::int64_t{logit_rows[i]} * hidden;
      std::copy(from, from + hidden, states + static_cast<std::int64_t>(i) * hidden);
    }
  };
  if (mtp_) {  // the head reads the states of all rows
    ops.rms_norm(h, norm_.data(), options_.eps(), n, hidden, normed);
    mtp_->follow(ops, {embedding_, tokens}, rows, normed, cache, workspace, h);
    gather(normed);
    return normed;
  }
  gather(h);
  const auto wanted = static_cast<std::int64_t>(logit_rows.size());
  if (wanted > 0) ops.rms_norm(h, norm_.data(), options_.eps(), wanted, hidden, normed);
  return normed;
}

void DenseDecoder::predict(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
                           ops::KvCache& cache, Workspace workspace, float* states, float* logits) const {
  const auto n = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden = options_.hidden_size();
  float* h = workspace.floats(n * hidden);
  const DecoderLayer::Buffers buffers{.h = h, .normed = workspace.floats(n * hidden), .block = h};
  mtp_->predict(ops, {embedding_, tokens}, rows, buffers, head_, cache, workspace, states, logits);
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
    const ParameterCount layer = parameter_count(options, index);
    count.total += layer.total;
    count.active += layer.active;
  }
  return count;
}

}  // namespace maestrale::nn
