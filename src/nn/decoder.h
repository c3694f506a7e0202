// DenseDecoder: embedding, layers of attention and feed-forward (a gated MLP, a mixture of experts, or both)
// with pre-norms, final norm and head. Models of the Llama form are this block with their own options.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
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
  bool extra_layers = false;  // files have layers after the last, which predict further tokens: left out
  std::vector<AttentionBlockOptions> layers;  // one per layer; all of one hidden size and eps
  std::optional<LatentAttentionOptions>
      latent;  // the attention of every layer, in place of what `layers` say

  std::int64_t hidden_size() const { return layers.front().hidden_size; }
  float eps() const { return layers.front().eps; }
  bool has_moe(int layer) const { return moe && layer >= dense_layers && (layer + 1) % moe_step == 0; }
  bool has_mlp(int layer) const { return !has_moe(layer) || mlp_beside_moe; }
};

class DenseDecoder {
 public:
  static Result<DenseDecoder> load(WeightLoader& loader, const DenseDecoderOptions& options);

  // logits[logit_rows.size(), vocabulary] of the named rows.
  void forward(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
               std::span<const std::int32_t> logit_rows, ops::KvCache& cache, Workspace workspace,
               float* logits) const;
  // out[wanted.size(), hidden]: the states of the named rows after the final norm.
  void states(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
              std::span<const std::int32_t> wanted, ops::KvCache& cache, Workspace workspace,
              float* out) const;
  static std::size_t workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows);

 private:
  // [wanted.size(), hidden] in the workspace: normed states · logit_scale.
  const float* final_states(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
                            std::span<const std::int32_t> wanted, ops::KvCache& cache,
                            Workspace workspace) const;
  // h += block's output in `from` · scale, through a post-norm where the family has one.
  void add_block(ops::Ops& ops, const std::vector<float>& post_norm, float scale, float* from,
                 std::int64_t rows, float* h) const;

  struct Layer {
    std::vector<float> attention_norm, ffn_norm;
    std::vector<float> attention_post_norm, ffn_post_norm;  // only with post_norms
    std::variant<SelfAttention, LatentAttention> attention;
    std::optional<GatedMlp> mlp;
    std::optional<MixtureOfExperts> moe;
  };
  static Result<Layer> load_layer(WeightLoader& loader, int index, const DenseDecoderOptions& options);

  DenseDecoderOptions options_;
  TensorView embedding_;
  std::vector<float> embedding_values_;  // only where the file's table cannot be read row by row
  std::vector<Layer> layers_;
  std::vector<float> norm_;
  ops::Weight head_;
};

// Parameters of the whole decoder, a tied matrix counted once: all of them, and those that one token touches.
struct ParameterCount {
  std::int64_t total = 0, active = 0;
};
ParameterCount parameter_count(const DenseDecoderOptions& options);

}  // namespace maestrale::nn
