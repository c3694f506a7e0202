#include "nn/latent_attention.h"

#include <array>
#include <string>
#include <utility>

#include "nn/head_changes.h"
#include "nn/names.h"

namespace maestrale::nn {
namespace {

std::string prefix_of(int layer) { return "blk." + std::to_string(layer) + "."; }

// [H, plain + value, latent], where a file keeps both parts of a head together.
HeadPairShape pair_shape(const LatentAttentionOptions& options) {
  return {.heads = options.heads,
          .first = options.plain_size,
          .second = options.value_size,
          .columns = options.latent_size};
}

Result<HeadPair> load_head_matrices(WeightLoader& loader, const std::string& prefix,
                                    const LatentAttentionOptions& options) {
  if (!loader.has(prefix + "attn_k_b"))
    return load_head_pair(loader, prefix + "attn_kv_b", pair_shape(options));
  HeadPair heads;
  heads.first =
      TRY(load_heads(loader, prefix + "attn_k_b", options.heads, options.latent_size, options.plain_size));
  heads.second =
      TRY(load_heads(loader, prefix + "attn_v_b", options.heads, options.value_size, options.latent_size));
  return heads;
}

}  // namespace

Result<LatentAttention> LatentAttention::load(WeightLoader& loader, int layer,
                                              const LatentAttentionOptions& options) {
  LatentAttention block;
  block.options_ = options;
  block.layer_ = layer;
  const std::string prefix = prefix_of(layer);
  const std::int64_t q_rows = std::int64_t{options.heads} * options.query_size();
  if (options.query_rank > 0) {
    block.query_down_ = TRY(loader.matrix(prefix + "attn_q_a", options.query_rank, options.hidden_size));
    block.query_norm_ = TRY(loader.norm(prefix + "attn_q_a_norm", options.query_rank));
    block.query_up_ = TRY(loader.matrix(prefix + "attn_q_b", q_rows, options.query_rank));
  } else {
    block.query_ = TRY(loader.matrix(prefix + "attn_q", q_rows, options.hidden_size));
  }
  block.row_ = TRY(loader.matrix(prefix + "attn_kv_a_mqa", options.row_size(), options.hidden_size));
  block.latent_norm_ = TRY(loader.norm(prefix + "attn_kv_a_norm", options.latent_size));
  HeadPair heads = TRY(load_head_matrices(loader, prefix, options));
  TRY(change_head_pair(loader, prefix + "attn_kv_b", pair_shape(options), heads));
  block.key_heads_ = std::move(heads.first);
  block.value_heads_ = std::move(heads.second);
  block.output_ = TRY(loader.matrix(prefix + "attn_output", options.hidden_size,
                                    std::int64_t{options.heads} * options.value_size));
  if (options.indexer)
    block.indexer_ = TRY(KeyIndexer::load(loader, layer, *options.indexer, options.first_key));
  block.frequencies_ = rope_frequencies(options.rope);
  return block;
}

Result<std::size_t> LatentAttention::extra_bytes(const files::Checkpoint& checkpoint, const ops::Ops& ops,
                                                 int layer, const LatentAttentionOptions& options) {
  const auto find = [&, prefix = text_prefix(checkpoint)](const char* name) {
    return checkpoint.find(published_name(checkpoint, prefix, prefix_of(layer) + name, "weight"));
  };
  const std::size_t changes =
      TRY(head_change_bytes(checkpoint, ops, prefix_of(layer) + "attn_kv_b", pair_shape(options)));
  const TensorView* key = find("attn_k_b");
  const TensorView* value = find("attn_v_b");
  if (key != nullptr && value != nullptr) {
    return changes + TRY(heads_bytes(*key, ops, options.heads, options.latent_size, options.plain_size)) +
           TRY(heads_bytes(*value, ops, options.heads, options.value_size, options.latent_size));
  }
  const TensorView* both = find("attn_kv_b");
  if (both == nullptr) return changes;  // loading says what is missing
  const std::size_t counted = TRY(ops.packed_bytes(both->dtype, both->rows(), both->columns()));
  const std::size_t packed = TRY(head_pair_bytes(*both, ops, pair_shape(options)));
  return changes + (packed > counted ? packed - counted : 0);
}

LatentAttention::Buffers LatentAttention::carve(const LatentAttentionOptions& options, std::int64_t rows,
                                                Workspace& workspace) {
  return {.compressed_query = workspace.floats(rows * options.query_rank),
          .q = workspace.floats(rows * options.heads * options.query_size()),
          .row = workspace.floats(rows * options.row_size()),
          .latent = workspace.floats(rows * options.heads * options.latent_size),
          .values = workspace.floats(rows * options.heads * options.value_size),
          .row_scale = workspace.floats(rows)};
}

std::size_t LatentAttention::workspace_bytes(const LatentAttentionOptions& options, std::int64_t rows) {
  Workspace counting;
  carve(options, rows, counting);
  return counting.used() + (options.indexer ? KeyIndexer::workspace_bytes(*options.indexer, rows) : 0);
}

// Queries (not rotated yet) and the rows of the cache (latent part normed).
void LatentAttention::project(ops::Ops& ops, const float* x, std::int64_t rows,
                              const Buffers& buffers) const {
  const bool low_rank = options_.query_rank > 0;
  const std::array inputs = {
      ops::Projection{&row_, buffers.row, row_.rows, nullptr, nullptr},
      low_rank ? ops::Projection{&query_down_, buffers.compressed_query, query_down_.rows, nullptr, nullptr}
               : ops::Projection{&query_, buffers.q, query_.rows, nullptr, nullptr},
  };
  ops.linear(x, rows, options_.hidden_size, inputs);
  norm_latents(ops, rows, buffers.row);
  if (!low_rank) return;
  ops.rms_norm(buffers.compressed_query, query_norm_.data(), options_.eps, rows, options_.query_rank,
               buffers.compressed_query);
  const std::array up = {ops::Projection{&query_up_, buffers.q, query_up_.rows, nullptr, nullptr}};
  ops.linear(buffers.compressed_query, rows, options_.query_rank, up);
}

void LatentAttention::norm_latents(ops::Ops& ops, std::int64_t rows, float* row) const {
  for (std::int64_t i = 0; i < rows; ++i, row += options_.row_size())
    ops.rms_norm(row, latent_norm_.data(), options_.eps, 1, options_.latent_size, row);
}

ops::RopeTable LatentAttention::rope_table() const {
  return {.pairing = options_.rope.pairing,
          .inverse_frequencies = frequencies_,
          .magnitude = static_cast<float>(options_.rope.magnitude)};
}

void LatentAttention::store_rotated(ops::Ops& ops, float* row, const ops::BatchRows& rows,
                                    ops::KvCache& cache) const {
  ops.rope(row + options_.latent_size, options_.row_size(), 1, options_.rotated_size, rows.positions,
           rope_table(), {});
  ops.store_rows(row, options_.row_size(), ops::KvRows::kLatent, layer_, rows, cache);
}

void LatentAttention::store(ops::Ops& ops, const float* x, const ops::BatchRows& rows, ops::KvCache& cache,
                            Workspace workspace) const {
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  float* row = workspace.floats(n * options_.row_size());
  const std::array inputs = {ops::Projection{&row_, row, row_.rows, nullptr, nullptr}};
  ops.linear(x, n, options_.hidden_size, inputs);
  norm_latents(ops, n, row);
  store_rotated(ops, row, rows, cache);
  if (indexer_) indexer_->store(ops, x, rope_table(), rows, cache, workspace);
}

std::span<const float> LatentAttention::temperatures(const ops::BatchRows& rows, float* room) const {
  if (!options_.temperature) return {};
  for (std::size_t i = 0; i < rows.positions.size(); ++i)
    room[i] = options_.temperature->at(rows.positions[i]);
  return {room, rows.positions.size()};
}

void LatentAttention::forward(ops::Ops& ops, const float* x, const ops::BatchRows& rows, ops::KvCache& cache,
                              Workspace workspace, const float* residual, float* out) const {
  const auto n = static_cast<std::int64_t>(rows.positions.size());
  const Buffers buffers = carve(options_, n, workspace);
  project(ops, x, n, buffers);
  const ops::RopeTable table = rope_table();
  const std::int64_t q_width = std::int64_t{options_.heads} * options_.query_size();
  float* rotated = buffers.q + options_.plain_size;
  ops.rope(rotated, q_width, options_.heads, options_.query_size(), rows.positions, table, {});
  store_rotated(ops, buffers.row, rows, cache);
  std::optional<ops::KeySelection> selection;
  if (indexer_)
    selection = indexer_->forward(ops, x, buffers.compressed_query, table, rows, cache, workspace);

  const std::int64_t latent_width = std::int64_t{options_.heads} * options_.latent_size;
  const std::int64_t value_width = std::int64_t{options_.heads} * options_.value_size;
  ops.linear_heads(n, {.weights = key_heads_,
                       .x = buffers.q,
                       .x_row_stride = q_width,
                       .x_head_stride = options_.query_size(),
                       .out = buffers.latent,
                       .out_row_stride = latent_width,
                       .out_head_stride = options_.latent_size});
  const ops::LatentQueries queries{.latent = buffers.latent,
                                   .rotated = rotated,
                                   .rotated_row_stride = q_width,
                                   .rotated_head_stride = options_.query_size(),
                                   .row_scale = temperatures(rows, buffers.row_scale)};
  const ops::LatentOptions attention{.heads = options_.heads,
                                     .latent_size = options_.latent_size,
                                     .rotated_size = options_.rotated_size,
                                     .scale = options_.score_scale,
                                     .first_key = options_.first_key};
  ops.latent_attention(queries, layer_, rows, cache, attention, selection ? &*selection : nullptr,
                       buffers.latent);
  ops.linear_heads(n, {.weights = value_heads_,
                       .x = buffers.latent,
                       .x_row_stride = latent_width,
                       .x_head_stride = options_.latent_size,
                       .out = buffers.values,
                       .out_row_stride = value_width,
                       .out_head_stride = options_.value_size});
  const std::array output = {ops::Projection{&output_, out, options_.hidden_size, nullptr, residual}};
  ops.linear(buffers.values, n, output_.columns, output);
}

std::int64_t parameter_count(const LatentAttentionOptions& options) {
  const std::int64_t q_rows = std::int64_t{options.heads} * options.query_size();
  const std::int64_t rank = options.query_rank;
  std::int64_t total =
      rank > 0 ? rank * options.hidden_size + rank + q_rows * rank : q_rows * options.hidden_size;
  total += options.row_size() * options.hidden_size + options.latent_size;
  total += std::int64_t{options.heads} * (options.plain_size + options.value_size) * options.latent_size;
  total += std::int64_t{options.heads} * options.value_size * options.hidden_size;
  return total + (options.indexer ? parameter_count(*options.indexer) : 0);
}

}  // namespace maestrale::nn
