#include "nn/key_indexer.h"

#include <array>
#include <string>

namespace maestrale::nn {

Result<KeyIndexer> KeyIndexer::load(WeightLoader& loader, int layer, const KeyIndexerOptions& options,
                                    int first_key) {
  KeyIndexer block;
  block.first_key_ = first_key;
  block.options_ = options;
  block.layer_ = layer;
  const std::string prefix = "blk." + std::to_string(layer) + ".indexer.";
  const std::int64_t width = std::int64_t{options.heads} * options.head_size;
  block.query_ = TRY(loader.matrix(prefix + "attn_q_b", width, options.query_rank));
  block.key_ = TRY(loader.matrix(prefix + "attn_k", options.head_size, options.hidden_size));
  block.head_weights_ = TRY(loader.matrix(prefix + "proj", options.heads, options.hidden_size));
  block.norm_ = TRY(loader.vector(prefix + "k_norm", options.head_size));
  block.norm_bias_ = TRY(loader.vector(prefix + "k_norm", options.head_size, "bias"));
  return block;
}

KeyIndexer::Buffers KeyIndexer::carve(const KeyIndexerOptions& options, std::int64_t rows,
                                      Workspace& workspace) {
  return {.q = workspace.floats(rows * options.heads * options.head_size),
          .key = workspace.floats(rows * options.head_size),
          .weights = workspace.floats(rows * options.heads),
          .positions = workspace.integers(rows * options.most),
          .counts = workspace.integers(rows)};
}

std::size_t KeyIndexer::workspace_bytes(const KeyIndexerOptions& options, std::int64_t rows) {
  Workspace counting;
  carve(options, rows, counting);
  return counting.used();
}

void KeyIndexer::store_keys(ops::Ops& ops, float* keys, ops::RopeTable rope, const ops::BatchRows& rows,
                            ops::KvCache& cache) const {
  constexpr float kEps = 1e-6f;
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  ops.layer_norm(keys, norm_.data(), norm_bias_.data(), kEps, n, options_.head_size, keys);
  rope.pairing = ops::RopePairing::kHalf;
  ops.rope(keys, options_.head_size, 1, options_.head_size, rows.positions, rope, {});
  ops.store_rows(keys, options_.head_size, ops::KvRows::kIndex, layer_, rows, cache);
}

void KeyIndexer::store(ops::Ops& ops, const float* x, const ops::RopeTable& rope, const ops::BatchRows& rows,
                       ops::KvCache& cache, Workspace workspace) const {
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  float* keys = workspace.floats(n * options_.head_size);
  const std::array from_x = {ops::Projection{&key_, keys, key_.rows, nullptr, nullptr}};
  ops.linear(x, n, options_.hidden_size, from_x);
  store_keys(ops, keys, rope, rows, cache);
}

ops::KeySelection KeyIndexer::forward(ops::Ops& ops, const float* x, const float* compressed_query,
                                      ops::RopeTable rope, const ops::BatchRows& rows, ops::KvCache& cache,
                                      Workspace& workspace) const {
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  const Buffers buffers = carve(options_, n, workspace);
  // The authors scale the weights by powers of the sizes; a positive factor does not change which keys are
  // best.
  const std::array from_x = {
      ops::Projection{&key_, buffers.key, key_.rows, nullptr, nullptr},
      ops::Projection{&head_weights_, buffers.weights, head_weights_.rows, nullptr, nullptr}};
  ops.linear(x, n, options_.hidden_size, from_x);
  const std::array from_query = {ops::Projection{&query_, buffers.q, query_.rows, nullptr, nullptr}};
  ops.linear(compressed_query, n, options_.query_rank, from_query);
  store_keys(ops, buffers.key, rope, rows, cache);
  rope.pairing = ops::RopePairing::kHalf;
  ops.rope(buffers.q, query_.rows, options_.heads, options_.head_size, rows.positions, rope, {});
  const ops::KeySelection selection{
      .most = options_.most,
      .positions = {buffers.positions, static_cast<std::size_t>(n * options_.most)},
      .counts = {buffers.counts, static_cast<std::size_t>(n)}};
  ops.select_keys(buffers.q, buffers.weights, layer_, rows, cache,
                  {.heads = options_.heads, .head_size = options_.head_size, .first_key = first_key_},
                  selection);
  return selection;
}

std::int64_t parameter_count(const KeyIndexerOptions& options) {
  return std::int64_t{options.heads} * options.head_size * options.query_rank +
         (options.head_size + options.heads) * options.hidden_size + 2 * std::int64_t{options.head_size};
}

}  // namespace maestrale::nn
