// Ops: the operations of a transformer on one device. Models are written against this interface; CpuOps
// (ops/cpu/cpu_ops.h) is the device of this file's family. All matrices are row-major f32; `rows` are tokens.
// Results depend on nothing but the operands of their own row (docs/numerics.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ops/experts.h"
#include "ops/kv_cache.h"
#include "tensor/view.h"

namespace maestrale::ops {

// Scales that multiply a matrix stored in FP8: one per block_rows × block_columns, f32, [⌈r/br⌉, ⌈c/bc⌉].
struct BlockScales {
  std::span<const float> values;
  std::int64_t block_rows = 0;
  std::int64_t block_columns = 0;
};

// out[rows · columns] = the matrix's values with their scales applied (int8 and FP8 codes).
void expand_scaled(const TensorView& matrix, const BlockScales& scales, float* out);
// The same of rows [row, row + rows).
void expand_scaled_rows(const TensorView& matrix, const BlockScales& scales, std::int64_t row,
                        std::int64_t rows, float* out);

// One product of a shared input: out[row][0..weight.rows) = weight · x[row] (+ bias) (+ residual[row]).
struct Projection {
  const Weight* weight = nullptr;
  float* out = nullptr;  // [rows, out_stride]
  std::int64_t out_stride = 0;
  const float* bias = nullptr;      // [weight.rows] or null
  const float* residual = nullptr;  // same layout as out, may be out itself; or null
};

// The change that one adapter makes to a matrix: y = W x + scale · B (A x), in f32 and in this order.
struct LowRankChange {
  int adapter = 0;
  float scale = 0;
  Weight a;  // [rank, columns]
  Weight b;  // [rows, rank]
};
struct LowRankChanges {
  std::vector<LowRankChange> of;
};
// An adapter that a row wants, and how strongly; several add up in the order of the list.
struct AdapterChoice {
  int adapter = 0;
  float scale = 1;
};
using AdapterChoices = std::span<const AdapterChoice>;

enum class RopePairing : std::uint8_t { kInterleaved, kHalf };

struct RopeTable {
  RopePairing pairing = RopePairing::kInterleaved;
  std::span<const float> inverse_frequencies;  // [rotated dimensions / 2]
  float magnitude = 1;                         // multiplies cos and sin
};

constexpr int kMaxHeadSize = 1024;  // widest attention head
constexpr int kMaxGroup = 32;       // query heads that share a KV head, at most

struct AttentionOptions {
  int heads = 0;
  int kv_heads = 0;
  int head_size = 0;
  float scale = 0;
  std::int64_t window = 0;       // keys visible to a query, itself included; 0: all
  std::int64_t chunk = 0;        // a query sees only keys of its own chunk of so many positions; 0: all
  const float* sinks = nullptr;  // [heads] scores without a value that take part in the softmax; or null
  std::span<const float> row_scale = {};  // multiplies the scores of a row, before the soft-cap; or empty
  float soft_cap = 0;                     // scores become cap · tanh(score / cap); 0: as they are
  // Each row sees every key of its sequence up to the sequence's last row in the batch, not to itself only.
  bool both_ways = false;
  // [heads], or empty: slope · distance between query and key is taken off their score (ALiBi, arXiv
  // 2108.12409).
  std::span<const float> distance_slopes = {};
};

// Latent attention (MLA): every head's key is the shared row [latent | rotated], its value the row's latent
// part.
struct LatentOptions {
  int heads = 0;
  int latent_size = 0;   // a multiple of 16
  int rotated_size = 0;  // a multiple of 16
  float scale = 0;
  int first_key = 0;  // keys before it are not looked at, rows stand at it or later; within the first page
};

struct LatentQueries {
  const float* latent = nullptr;        // [rows, heads, latent_size]
  const float* rotated = nullptr;       // of the first head of the first row
  std::int64_t rotated_row_stride = 0;  // floats from one row's to the next row's
  std::int64_t rotated_head_stride = 0;
  std::span<const float> row_scale = {};  // multiplies the scores of a row, or empty
};

// Keys that each row may see, chosen by an indexer: row r sees positions[r * most …][counts[r]], ascending,
// or everything up to its own where counts[r] is 0.
struct KeySelection {
  std::int64_t most = 0;
  std::span<std::int32_t> positions;  // [rows, most]
  std::span<std::int32_t> counts;     // [rows]
};

struct IndexerOptions {
  int heads = 0;
  int head_size = 0;  // a multiple of 16
  int first_key = 0;  // keys before this position are not chosen
};
constexpr std::int64_t kMaxSelected = 8192;

// One product for each head: out[row, head] = weights[head] · x[row, head].
struct HeadProducts {
  std::span<const Weight> weights;  // one per head, all of one shape and type
  const float* x = nullptr;
  std::int64_t x_row_stride = 0, x_head_stride = 0;
  float* out = nullptr;
  std::int64_t out_row_stride = 0, out_head_stride = 0;
};

// A causal convolution of each channel over time, and the state-space scan of Mamba-2 (arXiv 2405.21060),
// both from the state of the row's sequence at its position, which they move on.
struct CausalConv {
  std::int64_t channels = 0;
  int width = 0;                  // inputs that an output sees; at most kMaxConvWidth
  std::span<const float> weight;  // [width, channels], the oldest input first
  std::span<const float> bias;    // [channels]
};
constexpr int kMaxConvWidth = 8;

struct Scan {
  int heads = 0, head_size = 0, groups = 0, state_size = 0;  // state_size: a multiple of 16
  std::span<const float> decay;                              // [heads], negative
  std::span<const float> step_bias;                          // [heads]
  std::span<const float> skip;                               // [heads]
};
struct ScanInputs {
  const float* x = nullptr;     // [heads · head_size], then [groups · state_size] in, then as much out
  std::int64_t x_stride = 0;    // floats from one row to the next
  const float* step = nullptr;  // [heads], before bias and softplus
  std::int64_t step_stride = 0;
};

// The KV cache rows that a batch reads and writes.
struct BatchRows {
  std::span<const std::int32_t> positions;
  std::span<const std::int32_t> sequences;  // adjacent rows of one sequence have ascending positions
};

class Ops {
 public:
  virtual ~Ops() = default;

  virtual std::string_view isa() const = 0;
  virtual int threads() const = 0;

  // Bytes of a packed [rows, columns] matrix; kUnsupported names the type.
  virtual Result<std::size_t> packed_bytes(DType dtype, std::int64_t rows, std::int64_t columns) const = 0;
  // Takes the memory for all weights at once; pack() carves from it.
  virtual Status reserve_weights(std::size_t bytes) = 0;
  // In place of reserve_weights(): weights that are packed already. pack() and pack_later() then only say
  // where each stands. The bytes must outlive the Ops.
  virtual void use_packed(std::span<const std::byte> weights) = 0;
  // All weights as they stand, and a hash of the matrices' shapes and sizes in their order.
  virtual std::span<const std::byte> packed_weights() const = 0;
  virtual std::uint64_t packed_order() const = 0;
  virtual Result<Weight> pack(const TensorView& matrix, const BlockScales& scales) = 0;
  // Reserves the room of a matrix that is packed when it is first used.
  virtual Result<LazyWeight*> pack_later(MatrixSource source) = 0;
  // Its sides are packed, plain numbers; changes may share them. Products of linear(), linear_heads() and
  // experts() heed it.
  virtual void add_change(Weight& weight, const LowRankChange& change) = 0;
  // What each row of the products that follow wants of adapters; an empty list: nobody wants any. The lists
  // must live until the next call.
  virtual void choose_adapters(std::span<const AdapterChoices> rows) = 0;
  // Packs now what still waits: for those who want steady times from the first token on.
  virtual void pack_waiting() = 0;
  virtual ExpertTraffic expert_traffic() const = 0;
  // Scratch for batches of at most `rows` rows with inputs of at most `columns`; bytes it takes.
  virtual std::size_t scratch_bytes(std::int64_t rows, std::int64_t columns) const = 0;
  virtual Status reserve_scratch(std::int64_t rows, std::int64_t columns) = 0;

  // out[i] = row tokens[i] of `table` · scale, as f32.
  virtual void embed(const TensorView& table, std::span<const std::int32_t> tokens, float scale,
                     float* out) = 0;
  // out = x / sqrt(mean(x²) + eps) · weight, over `rows` vectors of `columns`; in place is fine.
  virtual void rms_norm(const float* x, const float* weight, float eps, std::int64_t rows,
                        std::int64_t columns, float* out) = 0;
  // out = (x - mean) / sqrt(variance + eps) · weight + bias; in place is fine.
  virtual void layer_norm(const float* x, const float* weight, const float* bias, float eps,
                          std::int64_t rows, std::int64_t columns, float* out) = 0;
  virtual void linear(const float* x, std::int64_t rows, std::int64_t columns,
                      std::span<const Projection> projections) = 0;
  // Rotates `heads` vectors of head_size per row in place; row i is at positions[i]; `row_scale` (per row, or
  // empty) multiplies the result.
  virtual void rope(float* x, std::int64_t row_stride, int heads, int head_size,
                    std::span<const std::int32_t> positions, const RopeTable& table,
                    std::span<const float> row_scale) = 0;
  // Stores keys and values [rows, kv_heads · head_size] of `layer` at the batch's positions.
  virtual void store_kv(const float* keys, const float* values, int layer, const BatchRows& rows,
                        KvCache& cache) = 0;
  // out, q: [rows, heads · head_size]; over everything stored for the row's sequence, as the options say.
  virtual void attention(const float* q, int layer, const BatchRows& rows, const KvCache& cache,
                         const AttentionOptions& options, float* out) = 0;
  virtual void linear_heads(std::int64_t rows, const HeadProducts& products) = 0;
  // Stores x [rows, stride], the first elements of each row, as the latent or the indexer's rows of `layer`.
  virtual void store_rows(const float* x, std::int64_t stride, KvRows which, int layer, const BatchRows& rows,
                          KvCache& cache) = 0;
  // Rates all keys of each row, Σ over heads of weight · max(q · key, 0), and keeps the `selection.most` best
  // (the lower position where two are equal). q: [rows, heads · head_size], weights: [rows, heads].
  virtual void select_keys(const float* q, const float* weights, int layer, const BatchRows& rows,
                           const KvCache& cache, const IndexerOptions& options,
                           const KeySelection& selection) = 0;
  // out: [rows, heads, latent_size], may be queries.latent itself; `selection` may be null.
  virtual void latent_attention(const LatentQueries& queries, int layer, const BatchRows& rows,
                                const KvCache& cache, const LatentOptions& options,
                                const KeySelection* selection, float* out) = 0;
  // out[rows, channels] = silu(conv(x)); x: [rows, stride].
  virtual void causal_conv(const float* x, std::int64_t stride, const CausalConv& conv, int layer,
                           const BatchRows& rows, KvCache& cache, float* out) = 0;
  // out: [rows, heads · head_size].
  virtual void scan(const Scan& scan, const ScanInputs& inputs, int layer, const BatchRows& rows,
                    KvCache& cache, float* out) = 0;
  // out = activation(gate) · up, [rows, columns]; up null: activation(gate).
  virtual void gated(Activation activation, const float* gate, const float* up, std::int64_t rows,
                     std::int64_t columns, float* out) = 0;
  // x = cap · tanh(x / cap), [rows, columns].
  virtual void soft_cap(float* x, std::int64_t rows, std::int64_t columns, float cap) = 0;
  // to += x, [rows, columns].
  virtual void add(const float* x, std::int64_t rows, std::int64_t columns, float* to) = 0;
  // Chooses experts for each row of logits [rows, options.experts].
  virtual void route(const float* logits, const float* correction, std::int64_t rows,
                     const RouterOptions& options, const Routing& routing) = 0;
  // out = Σ over a row's choices of weight · expert(x) + residual (may be out itself, or null: nothing), the
  // best choice first. x, out: [rows, hidden].
  virtual void experts(const float* x, std::int64_t rows, const ExpertSet& set, const Routing& routing,
                       std::span<std::byte> workspace, const float* residual, float* out) = 0;
};

}  // namespace maestrale::ops
