// CpuOps: the operations on this machine's cores, through one instruction set's table of kernels.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/float_layout.h"
#include "kernels/kernel_table.h"
#include "kernels/panels.h"
#include "ops/cpu/latent_work.h"
#include "ops/cpu/pieces.h"
#include "ops/cpu/row_changes.h"
#include "ops/ops.h"

namespace maestrale::ops {

// Room at the start of a worker's scratch: inputs that it gathers for one product of linear_heads, or one
// product of an expert.
constexpr std::size_t kGatherBytes = 256 * 1024;

// How quantised weights multiply: in integers with activations of eight bits, or expanded to f32, which is
// slow and large and there to compare with the arithmetic of others.
enum class Arithmetic : std::uint8_t { kQuantised, kFloat };

class CpuOps final : public Ops {
 public:
  CpuOps(const kernels::KernelTable& table, int threads, Arithmetic arithmetic)
      : table_(table), pool_(threads), arithmetic_(arithmetic) {}

  std::string_view isa() const override { return table_.name; }
  int threads() const override { return pool_.size(); }

  Result<std::size_t> packed_bytes(DType dtype, std::int64_t rows, std::int64_t columns) const override;
  Status reserve_weights(std::size_t bytes) override;
  void use_packed(std::span<const std::byte> weights) override { mapped_ = weights; }
  std::span<const std::byte> packed_weights() const override { return room().first(weights_used_); }
  std::uint64_t packed_order() const override { return packed_order_; }
  Result<Weight> pack(const TensorView& matrix, const BlockScales& scales) override;
  Result<LazyWeight*> pack_later(MatrixSource source) override;
  void add_change(Weight& weight, const LowRankChange& change) override;
  void choose_adapters(std::span<const AdapterChoices> rows) override { choices_ = rows; }
  void pack_waiting() override;
  ExpertTraffic expert_traffic() const override { return expert_traffic_; }
  std::size_t scratch_bytes(std::int64_t rows, std::int64_t columns) const override;
  Status reserve_scratch(std::int64_t rows, std::int64_t columns) override;

  void embed(const TensorView& table, std::span<const std::int32_t> tokens, float scale, float* out) override;
  void rms_norm(const float* x, const float* weight, float eps, std::int64_t rows, std::int64_t columns,
                float* out) override;
  void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::int64_t rows,
                  std::int64_t columns, float* out) override;
  void linear(const float* x, std::int64_t rows, std::int64_t columns,
              std::span<const Projection> projections) override;
  void rope(float* x, std::int64_t row_stride, int heads, int head_size,
            std::span<const std::int32_t> positions, const RopeTable& table,
            std::span<const float> row_scale) override;
  void store_kv(const float* keys, const float* values, int layer, const BatchRows& rows,
                KvCache& cache) override;
  void attention(const float* q, int layer, const BatchRows& rows, const KvCache& cache,
                 const AttentionOptions& options, float* out) override;
  void linear_heads(std::int64_t rows, const HeadProducts& products) override;
  void store_rows(const float* x, std::int64_t stride, KvRows which, int layer, const BatchRows& rows,
                  KvCache& cache) override;
  void select_keys(const float* q, const float* weights, int layer, const BatchRows& rows,
                   const KvCache& cache, const IndexerOptions& options,
                   const KeySelection& selection) override;
  void latent_attention(const LatentQueries& queries, int layer, const BatchRows& rows, const KvCache& cache,
                        const LatentOptions& options, const KeySelection* selection, float* out) override;
  void causal_conv(const float* x, std::int64_t stride, const CausalConv& conv, int layer,
                   const BatchRows& rows, KvCache& cache, float* out) override;
  void scan(const Scan& scan, const ScanInputs& inputs, int layer, const BatchRows& rows, KvCache& cache,
            float* out) override;
  void gated(Activation activation, const float* gate, const float* up, std::int64_t rows,
             std::int64_t columns, float* out) override;
  void soft_cap(float* x, std::int64_t rows, std::int64_t columns, float cap) override;
  void add(const float* x, std::int64_t rows, std::int64_t columns, float* to) override;

  void route(const float* logits, const float* correction, std::int64_t rows, const RouterOptions& options,
             const Routing& routing) override;
  void experts(const float* x, std::int64_t rows, const ExpertSet& set, const Routing& routing,
               std::span<std::byte> workspace, const float* residual, float* out) override;

  // How a weight stands in memory: int8 panels of a quantised type, or panels of floats.
  struct Layout {
    const kernels::PanelLayout* panels = nullptr;  // null: floats
    kernels::FloatLayout floats;
    std::size_t panel_bytes = 0;
  };
  // Packs a matrix into the room that pack_later() reserved.
  void pack_now(LazyWeight& lazy);
  // One panel of `matrix`, rows from 16 · panel on; what is missing to 16 rows is zero.
  static void pack_one(const Layout& layout, const TensorView& matrix, const BlockScales& scales,
                       std::int64_t panel, std::byte* out);

 private:
  friend class ExpertPass;

  struct AttentionWork {  // one tile of queries of one sequence
    std::int64_t first_row = 0;
    int tokens = 0;
  };
  struct LatentCall {  // what latent_attention() was given
    const LatentQueries& queries;
    int layer;
    const BatchRows& rows;
    const KvCache& cache;
    const LatentOptions& options;
    const KeySelection* selection;
  };
  Result<Layout> layout_for(DType dtype, std::int64_t columns, std::int64_t block_columns) const;
  std::span<const std::byte> room() const;  // of all weights
  Weight carve(const Layout& layout, std::int64_t rows, std::int64_t columns);
  std::byte* writable(const Weight& weight) { return weights_.data() + (weight.data - weights_.data()); }
  void for_rows(std::int64_t rows, const std::function<void(std::int64_t)>& body);
  void quantise(const float* x, std::int64_t rows, std::int64_t columns);
  void multiply(const float* x, std::int64_t rows, const Projection& projection, const PanelPiece& piece,
                int worker);
  void multiply_all(const float* x, std::int64_t rows, std::span<const Projection> projections);
  void add_changes(const float* x, std::int64_t rows, const Projection& projection);
  void add_head_changes(std::int64_t rows, const HeadProducts& products);
  void attend(const float* q, int layer, const BatchRows& rows, const KvCache& cache,
              const AttentionOptions& options, const AttentionWork& work, int kv_head, float* scratch,
              float* out) const;
  float* latent_tile(const LatentCall& call, const LatentRun& run, float* scratch,
                     kernels::LatentTile& tile) const;
  void attend_run(const LatentCall& call, const LatentRun& run, float* scratch, float* out) const;
  void attend_pieces(const LatentCall& call, float* out);
  kernels::LatentPart latent_part(std::int64_t place, int width);
  void select_for_row(const float* q, const float* weights, int layer, const BatchRows& rows,
                      const KvCache& cache, const IndexerOptions& options, std::int64_t row,
                      const KeySelection& selection, std::byte* scratch) const;
  void gate_row(Activation activation, float clamp, const float* gate, const float* up, std::int64_t columns,
                float* out) const;
  std::size_t worker_scratch_bytes() const;
  std::byte* worker_scratch(int worker) const;

  const kernels::KernelTable& table_;
  ThreadPool pool_;
  Arithmetic arithmetic_;
  std::deque<Layout> layouts_;  // stable addresses for Weight::layout
  std::deque<LazyWeight> lazy_;
  std::deque<LowRankChanges> changes_;
  std::span<const AdapterChoices> choices_;
  std::vector<float> inner_;              // [rows, rank] between the two sides of a change
  RowChanges gate_changes_, up_changes_;  // of experts; the first also serves their outputs, and heads
  ExpertTraffic expert_traffic_;
  HugeBuffer weights_;
  std::span<const std::byte> mapped_;  // in place of weights_, packed already
  std::size_t weights_used_ = 0;
  std::uint64_t packed_order_ = 0;
  HugeBuffer scratch_;  // quantised activations, then one part per worker
  std::size_t activation_room_ = 0;
  std::vector<float> ones_;  // in place of the second factor of gated()
  std::vector<AttentionWork> attention_work_;
  LatentWork latent_work_;
  std::vector<float> latent_parts_;  // results of its pieces: outputs, then states
};

// The Ops of this machine: `isa` "ref", "avx2", "avx512", or empty for MAESTRALE_ISA or the best.
Result<std::unique_ptr<Ops>> make_cpu_ops(std::string_view isa, int threads,
                                          Arithmetic arithmetic = Arithmetic::kQuantised);

}  // namespace maestrale::ops
