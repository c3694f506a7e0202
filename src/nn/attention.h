// SelfAttention: grouped-query attention with rotary positions. What single families add stands in the
// options.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nn/loader.h"
#include "nn/rope.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

// Attention temperature: what multiplies the scores of the query at position p.
struct QueryTemperature {
  enum class Form : std::uint8_t {
    kSteps,  // 1 + beta · ln(1 + floor((p + offset) / length)): Mistral (offset 0), Llama 4 (1)
    kRatio,  // log p / log length where p > length, else 1: Grok 2
  };
  double beta = 0;
  double length = 0;
  int offset = 0;
  Form form = Form::kSteps;
  float at(std::int32_t position) const;
};

struct AttentionBlockOptions {
  std::int64_t hidden_size = 0;
  int heads = 0, kv_heads = 0, head_size = 0;
  float eps = 0;
  bool qkv_bias = false;          // Qwen2, gpt-oss
  bool output_bias = false;       // gpt-oss
  bool sinks = false;             // gpt-oss: a score per head that takes part in the softmax and has no value
  bool head_norm = false;         // Qwen3, Gemma 3: RMSNorm of every query and key head before the rotation
  bool rotated = true;            // Llama 4 leaves out the rotation on some layers
  bool pairs_everywhere = false;  // Llama 4: Hugging Face files too have rows in the order of rotated pairs
  bool rotated_norm =
      false;                // Llama 4: RMSNorm without weights of every query and key head after the rotation
  std::int64_t window = 0;  // keys visible to a query; 0: all
  std::int64_t chunk = 0;   // a query sees only keys of its own chunk of so many positions; 0: all
  float score_scale = 0;    // multiplies q · k; 0: 1 / √head_size
  float soft_cap = 0;       // of the scaled scores; 0: none
  RopeOptions rope;
  std::optional<QueryTemperature> temperature;
};

class SelfAttention {
 public:
  static Result<SelfAttention> load(WeightLoader& loader, int layer, const AttentionBlockOptions& options);

  // out[rows, hidden] = output(attention(x[rows, hidden])) + residual (may be out itself, or null: nothing).
  void forward(ops::Ops& ops, const float* x, const ops::BatchRows& rows, ops::KvCache& cache,
               Workspace workspace, const float* residual, float* out) const;
  static std::size_t workspace_bytes(const AttentionBlockOptions& options, std::int64_t rows);

 private:
  struct Buffers {
    float *q, *k, *v, *out, *row_scale;
  };
  static Buffers carve(const AttentionBlockOptions& options, std::int64_t rows, Workspace& workspace);
  void normalise_heads(ops::Ops& ops, const Buffers& buffers, std::int64_t rows) const;
  void rotate(ops::Ops& ops, const Buffers& buffers, const ops::BatchRows& rows) const;
  std::span<const float> temperatures(const Buffers& buffers, const ops::BatchRows& rows) const;

  AttentionBlockOptions options_;
  int layer_ = 0;
  ops::Weight q_, k_, v_, output_;
  std::vector<float> q_bias_, k_bias_, v_bias_, output_bias_, q_norm_, k_norm_, sinks_, frequencies_;
};

}  // namespace maestrale::nn
