// LatentAttention: multi-head latent attention (MLA, arXiv 2405.04434). The cache keeps one row per token,
// [latent | rotated key], shared by all heads; queries and outputs are taken into and out of the latent space
// by a matrix per head ("absorbed"), for prefill and decode alike.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/attention.h"
#include "nn/key_indexer.h"
#include "nn/loader.h"
#include "nn/rope.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

struct LatentAttentionOptions {
  std::int64_t hidden_size = 0;
  int heads = 0;
  std::int64_t query_rank = 0;  // of the low-rank query projection; 0: one full matrix
  int latent_size = 0;          // of keys and values in the cache; a multiple of 16
  int plain_size = 0;           // of a query head, not rotated
  int rotated_size = 0;         // of a query head and of the shared key; a multiple of 16
  int value_size = 0;           // of a head's output
  float eps = 0;                // of the norms inside
  float score_scale = 0;        // multiplies q · k
  int first_key = 0;            // position before which nothing is looked at
  RopeOptions rope;
  std::optional<QueryTemperature> temperature;
  std::optional<KeyIndexerOptions> indexer;  // DeepSeek V3.2

  int query_size() const { return plain_size + rotated_size; }
  int row_size() const { return latent_size + rotated_size; }
};

class LatentAttention {
 public:
  static Result<LatentAttention> load(WeightLoader& loader, int layer, const LatentAttentionOptions& options);
  // Bytes that load() packs beyond what planned_weight_bytes counts for the layer's matrices.
  static Result<std::size_t> extra_bytes(const files::Checkpoint& checkpoint, const ops::Ops& ops, int layer,
                                         const LatentAttentionOptions& options);

  // out[rows, hidden] = output(attention(x[rows, hidden])) + residual (may be out itself, or null: nothing).
  void forward(ops::Ops& ops, const float* x, const ops::BatchRows& rows, ops::KvCache& cache,
               Workspace workspace, const float* residual, float* out) const;
  // Stores the rows of the cache alone.
  void store(ops::Ops& ops, const float* x, const ops::BatchRows& rows, ops::KvCache& cache,
             Workspace workspace) const;
  static std::size_t workspace_bytes(const LatentAttentionOptions& options, std::int64_t rows);

 private:
  struct Buffers {
    float *compressed_query, *q, *row, *latent, *values, *row_scale;
  };
  static Buffers carve(const LatentAttentionOptions& options, std::int64_t rows, Workspace& workspace);
  ops::RopeTable rope_table() const;
  void project(ops::Ops& ops, const float* x, std::int64_t rows, const Buffers& buffers) const;
  void norm_latents(ops::Ops& ops, std::int64_t rows, float* row) const;
  void store_rotated(ops::Ops& ops, float* row, const ops::BatchRows& rows, ops::KvCache& cache) const;
  std::span<const float> temperatures(const ops::BatchRows& rows, float* room) const;

  LatentAttentionOptions options_;
  int layer_ = 0;
  ops::Weight query_, query_down_, query_up_, row_, output_;
  std::vector<ops::Weight> key_heads_;    // [latent, plain]: a head's query into the latent space
  std::vector<ops::Weight> value_heads_;  // [value, latent]: a head's output out of it
  std::vector<float> query_norm_, latent_norm_, frequencies_;
  std::optional<KeyIndexer> indexer_;
};

std::int64_t parameter_count(const LatentAttentionOptions& options);

}  // namespace maestrale::nn
