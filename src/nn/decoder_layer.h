// DecoderLayer: attention and feed-forward (a gated MLP, a mixture of experts, or both) with pre-norms, and
// what is said of a decoder of such layers.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "nn/attention.h"
#include "nn/latent_attention.h"
#include "nn/loader.h"
#include "nn/mlp.h"
#include "nn/moe.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

struct DenseDecoderOptions {
  std::int64_t vocabulary = 0;
  std::int64_t ffn_size = 0;      // of the gated MLP, in layers that have one
  std::optional<MoeOptions> moe;  // in the layers that has_moe() names; the others have the MLP
  int dense_layers = 0;           // layers before the first mixture
  int moe_step = 1;  // then every moe_step-th layer has one, counted from layer 0 (last of the step)
  bool mlp_beside_moe = false;  // Grok 2: layers have both, and their sum is scaled
  float ffn_scale = 1;          // multiplies the feed-forward's output; only with post_norms
  bool tied_head = false;
  bool head = true;  // false: weights without a head, for states() alone
  ops::Activation activation = ops::Activation::kSilu;
  bool post_norms = false;    // Gemma 2 and 3, Grok: a norm of each block's output before it is added
  float norm_offset = 0;      // added to every norm's weights: files that store w - 1
  float embedding_scale = 1;  // multiplies the embedding rows
  float logit_scale = 1;      // multiplies the logits, before the soft-cap
  float logit_soft_cap = 0;   // logits become cap · tanh(logit / cap); 0: as they are
  bool mtp = false;           // the layer after the last is an MTP head (nn/mtp_head.h); only with `latent`
  bool leave_further_layers = false;  // files have more layers, which predict further tokens: left out
  std::vector<AttentionBlockOptions> layers;  // one per layer; all of one hidden size and eps
  std::optional<LatentAttentionOptions>
      latent;  // the attention of every layer, in place of what `layers` say

  std::int64_t hidden_size() const { return layers.front().hidden_size; }
  float eps() const { return layers.front().eps; }
  bool has_moe(int layer) const { return moe && layer >= dense_layers && (layer + 1) % moe_step == 0; }
  bool has_mlp(int layer) const { return !has_moe(layer) || mlp_beside_moe; }
};

// Parameters: all of them, and those that one token touches.
struct ParameterCount {
  std::int64_t total = 0, active = 0;
};

class DecoderLayer {
 public:
  static Result<DecoderLayer> load(WeightLoader& loader, int index, const DenseDecoderOptions& options);

  // What the blocks read and write: h[rows, hidden] are the states that they add to, `normed` is as large.
  struct Buffers {
    float *h, *normed;
    float* block;  // what a block writes to: h itself, or with post_norms another as large
  };
  void forward(ops::Ops& ops, const DenseDecoderOptions& options, const Buffers& buffers,
               const ops::BatchRows& rows, ops::KvCache& cache, Workspace workspace) const;
  // Stores what later rows of h[rows, hidden] look at, and no more. Latent attention only.
  void store(ops::Ops& ops, const DenseDecoderOptions& options, const float* h, float* normed,
             const ops::BatchRows& rows, ops::KvCache& cache, Workspace workspace) const;
  // Beside the buffers.
  static std::size_t workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows);

 private:
  std::vector<float> attention_norm_, ffn_norm_;
  std::vector<float> attention_post_norm_, ffn_post_norm_;  // only with post_norms
  std::variant<SelfAttention, LatentAttention> attention_;
  std::optional<GatedMlp> mlp_;
  std::optional<MixtureOfExperts> moe_;
};

ParameterCount parameter_count(const DenseDecoderOptions& options, int layer);

}  // namespace maestrale::nn
