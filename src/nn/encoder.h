// Encoder: a transformer that reads a whole text in both directions (BERT, arXiv 1810.04805): summed
// embeddings, layers with a LayerNorm after each block, and where the files have one a head that scores
// pairs.
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

struct EncoderOptions {
  std::int64_t vocabulary = 0, hidden_size = 0, ffn_size = 0;
  int layers = 0, heads = 0;
  float eps = 0;
  std::int64_t types = 0;           // rows of the table of token types; 0: none
  std::int64_t positions = 0;       // rows of the table of positions; 0: none
  std::int64_t first_position = 0;  // RoBERTa: row of the first token
  std::optional<RopeOptions> rope;
  bool distances = false;      // ALiBi: scores sink with the distance, by a slope per head
  bool fused_qkv = false;      // one tensor: queries, keys, values
  bool attention_bias = true;  // of all four matrices
  bool gated = false;          // down(activation(gate) ⊙ up), else down(activation(up))
  bool fused_gate_up = false;  // one tensor: gate, up
  bool up_bias = true, down_bias = true;
  ops::Activation activation = ops::Activation::kGelu;
  std::int64_t labels = 0;  // of the head: out(tanh(dense(first state))); 0: none

  int head_size() const { return static_cast<int>(hidden_size / heads); }
};

// Slopes of ALiBi for so many heads (arXiv 2108.12409, and its authors' rule for other than powers of two).
std::vector<float> distance_slopes(int heads);

class Encoder {
 public:
  static Result<Encoder> load(WeightLoader& loader, const EncoderOptions& options);

  // out[wanted.size(), hidden]. The rows of a sequence are adjacent, whole and numbered from 0; `types` may
  // be empty. The cache is a scratch of one layer.
  void states(ops::Ops& ops, std::span<const std::int32_t> tokens, std::span<const std::int32_t> types,
              const ops::BatchRows& rows, std::span<const std::int32_t> wanted, ops::KvCache& cache,
              Workspace workspace, float* out) const;
  // out[wanted.size(), labels] of the named rows, which begin their sequences.
  void scores(ops::Ops& ops, std::span<const std::int32_t> tokens, std::span<const std::int32_t> types,
              const ops::BatchRows& rows, std::span<const std::int32_t> wanted, ops::KvCache& cache,
              Workspace workspace, float* out) const;
  static std::size_t workspace_bytes(const EncoderOptions& options, std::int64_t rows);

 private:
  struct Norm {
    std::vector<float> weight, bias;
  };
  struct Matrix {
    ops::Weight weight;
    std::vector<float> bias;  // or empty
    ops::Projection to(float* out, const float* residual = nullptr) const;
  };
  struct Layer {
    Matrix q, k, v, output, gate, up, down;
    Norm attention_norm, output_norm;
  };
  struct Buffers {
    float *h, *q, *k, *v, *attended, *gate, *up;
  };
  static Buffers carve(const EncoderOptions& options, std::int64_t rows, Workspace& workspace);
  static Result<Norm> load_norm(WeightLoader& loader, const std::string& name, std::int64_t n);
  static Result<Matrix> load_matrix(WeightLoader& loader, const std::string& name, std::int64_t rows,
                                    std::int64_t columns, bool bias);
  // A tensor that holds parts of `rows` rows each, one after the other.
  static Status load_parts(WeightLoader& loader, const std::string& name, std::int64_t rows,
                           std::int64_t columns, bool bias, std::span<Matrix* const> parts);
  static Result<Layer> load_layer(WeightLoader& loader, int index, const EncoderOptions& options);
  void embed(ops::Ops& ops, std::span<const std::int32_t> tokens, std::span<const std::int32_t> types,
             const ops::BatchRows& rows, const Buffers& buffers) const;
  void attend(ops::Ops& ops, const Layer& layer, const ops::BatchRows& rows, ops::KvCache& cache,
              const Buffers& buffers) const;
  void feed_forward(ops::Ops& ops, const Layer& layer, std::int64_t rows, const Buffers& buffers) const;
  void normalise(ops::Ops& ops, const Norm& norm, std::int64_t rows, float* h) const;

  EncoderOptions options_;
  TensorView tokens_, types_, positions_;
  std::vector<float> token_values_, type_values_, position_values_;
  Norm norm_;
  std::vector<float> frequencies_, slopes_;
  std::vector<Layer> layers_;
  Matrix dense_, score_;
};

std::int64_t parameter_count(const EncoderOptions& options);

}  // namespace maestrale::nn
