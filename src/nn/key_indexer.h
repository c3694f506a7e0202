// KeyIndexer: DeepSeek V3.2's sparse attention. A small scorer beside each attention rates all keys for a
// token and keeps the best; its own keys stand in the cache beside the latent rows. Source:
// deepseek-ai/DeepSeek-V3.2-Exp, with the rotation by halves that the authors corrected it to.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/loader.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

struct KeyIndexerOptions {
  std::int64_t hidden_size = 0;
  std::int64_t query_rank = 0;  // width of the compressed query that it reads
  int heads = 0;
  int head_size = 0;      // a multiple of 16; the first dimensions are rotated
  std::int64_t most = 0;  // keys kept
};

class KeyIndexer {
 public:
  // `first_key`: position before which nothing is chosen.
  static Result<KeyIndexer> load(WeightLoader& loader, int layer, const KeyIndexerOptions& options,
                                 int first_key);

  // Stores the indexer's keys of x[rows, hidden] and chooses keys for compressed_query[rows, query_rank].
  // `rope`: the attention's frequencies. The selection's memory is the workspace's.
  ops::KeySelection forward(ops::Ops& ops, const float* x, const float* compressed_query, ops::RopeTable rope,
                            const ops::BatchRows& rows, ops::KvCache& cache, Workspace& workspace) const;
  // Stores the indexer's keys alone.
  void store(ops::Ops& ops, const float* x, const ops::RopeTable& rope, const ops::BatchRows& rows,
             ops::KvCache& cache, Workspace workspace) const;
  static std::size_t workspace_bytes(const KeyIndexerOptions& options, std::int64_t rows);

 private:
  struct Buffers {
    float *q, *key, *weights;
    std::int32_t *positions, *counts;
  };
  static Buffers carve(const KeyIndexerOptions& options, std::int64_t rows, Workspace& workspace);

  void store_keys(ops::Ops& ops, float* keys, ops::RopeTable rope, const ops::BatchRows& rows,
                  ops::KvCache& cache) const;

  KeyIndexerOptions options_;
  int layer_ = 0, first_key_ = 0;
  ops::Weight query_, key_, head_weights_;
  std::vector<float> norm_, norm_bias_;
};

std::int64_t parameter_count(const KeyIndexerOptions& options);

}  // namespace maestrale::nn
