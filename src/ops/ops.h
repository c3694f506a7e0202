// Ops: the operations of a transformer on one device. Models are written against this interface; CpuOps
// (ops/cpu/cpu_ops.h) is the device of this file's family. All matrices are row-major f32; `rows` are tokens.
// Results depend on nothing but the operands of their own row (docs/numerics.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "ops/kv_cache.h"
#include "tensor/view.h"

namespace maestrale::ops {

// A weight matrix [rows = outputs, columns = inputs] in the device's own layout. Owned by the Ops that packed it.
struct Weight {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const void* layout = nullptr;     // the device's description of `data`
  const std::byte* data = nullptr;
  std::size_t bytes = 0;
};

// Scales that multiply a matrix stored in FP8: one per block_rows × block_columns, f32, [⌈r/br⌉, ⌈c/bc⌉].
struct BlockScales {
  std::span<const float> values;
  std::int64_t block_rows = 0;
  std::int64_t block_columns = 0;
};

// out[rows · columns] = the matrix's values with their scales applied (int8 and FP8 codes).
void expand_scaled(const TensorView& matrix, const BlockScales& scales, float* out);

// One product of a shared input: out[row][0..weight.rows) = weight · x[row] (+ bias) (+ residual[row]).
struct Projection {
  const Weight* weight = nullptr;
  float* out = nullptr;             // [rows, out_stride]
  std::int64_t out_stride = 0;
  const float* bias = nullptr;      // [weight.rows] or null
  const float* residual = nullptr;  // same layout as out, may be out itself; or null
};

enum class RopePairing : std::uint8_t { kInterleaved, kHalf };

struct RopeTable {
  RopePairing pairing = RopePairing::kInterleaved;
  std::span<const float> inverse_frequencies;  // [rotated dimensions / 2]
  float magnitude = 1;                         // multiplies cos and sin
};

constexpr int kMaxHeadSize = 1024;   // widest attention head
constexpr int kMaxGroup = 32;        // query heads that share a KV head, at most

struct AttentionOptions {
  int heads = 0;
  int kv_heads = 0;
  int head_size = 0;
  float scale = 0;
  std::int64_t window = 0;  // keys visible to a query, itself included; 0: all
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
  virtual Result<Weight> pack(const TensorView& matrix, const BlockScales& scales) = 0;
  // Scratch for batches of at most `rows` rows with inputs of at most `columns`; bytes it takes.
  virtual std::size_t scratch_bytes(std::int64_t rows, std::int64_t columns) const = 0;
  virtual Status reserve_scratch(std::int64_t rows, std::int64_t columns) = 0;

  // out[i] = row tokens[i] of `table`, as f32.
  virtual void embed(const TensorView& table, std::span<const std::int32_t> tokens, float* out) = 0;
  // out = x / sqrt(mean(x²) + eps) · weight, over `rows` vectors of `columns`; in place is fine.
  virtual void rms_norm(const float* x, const float* weight, float eps, std::int64_t rows, std::int64_t columns,
                        float* out) = 0;
  virtual void linear(const float* x, std::int64_t rows, std::int64_t columns,
                      std::span<const Projection> projections) = 0;
  // Rotates `heads` vectors of head_size per row in place; row i is at positions[i]; `row_scale` (per row, or
  // empty) multiplies the result.
  virtual void rope(float* x, std::int64_t row_stride, int heads, int head_size,
                    std::span<const std::int32_t> positions, const RopeTable& table,
                    std::span<const float> row_scale) = 0;
  // Stores keys and values [rows, kv_heads · head_size] of `layer` at the batch's positions.
  virtual void store_kv(const float* keys, const float* values, int layer, const BatchRows& rows, KvCache& cache) = 0;
  // out, q: [rows, heads · head_size]; causal over everything stored for the row's sequence.
  virtual void attention(const float* q, int layer, const BatchRows& rows, const KvCache& cache,
                         const AttentionOptions& options, float* out) = 0;
  // out = silu(gate) · up, [rows, columns].
  virtual void silu_multiply(const float* gate, const float* up, std::int64_t rows, std::int64_t columns,
                             float* out) = 0;
};

}  // namespace maestrale::ops
