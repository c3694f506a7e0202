// Experts: tokens are gathered by expert, each expert multiplies its tokens as one matrix with the kernels of
// linear(), and every token sums its own experts' outputs in the order of its choice.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {
namespace {

using kernels::kPanelRows;

std::int64_t panels_of(std::int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

// Rows as the kernels of quantised and of floating-point weights read them.
struct Inputs {
  const std::byte* codes = nullptr;  // quantised rows, one after the other
  const float* values = nullptr;     // [rows, columns]
};

bool is_quantised(const LazyWeight& matrix) {
  return static_cast<const CpuOps::Layout*>(matrix.weight.layout)->panels != nullptr;
}

std::size_t padded(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

std::size_t code_bytes(std::int64_t columns) { return kernels::activation_bytes((columns + 31) / 32 * 32); }

// The parts of the workspace. A slot is one choice of one token; slots stand in the order of their experts,
// within an expert in the order of the tokens.
struct Buffers {
  std::int32_t* starts = nullptr;    // [experts + 1] first slot of each expert
  std::int32_t* token = nullptr;     // [slots] token of each slot
  std::int32_t* place = nullptr;     // [tokens × chosen] slot of each choice
  std::int32_t* active = nullptr;    // [experts] that have slots
  std::int64_t* pieces = nullptr;    // [experts + 1] first piece of work of each active expert
  std::byte* token_codes = nullptr;  // [tokens] quantised inputs
  std::byte* codes = nullptr;        // [slots] quantised inputs, later quantised activations
  float* values = nullptr;           // [slots, hidden]: inputs, later outputs
  float* inner = nullptr;            // [slots, ffn] activations
  std::size_t bytes = 0;
};

Buffers carve(std::byte* base, std::int64_t tokens, std::int64_t chosen, std::int64_t experts,
              std::int64_t hidden, std::int64_t ffn) {
  Buffers buffers;
  const auto slots = static_cast<std::size_t>(tokens * chosen);
  const auto count = static_cast<std::size_t>(experts) + 1;
  const auto take = [&](std::size_t bytes) {
    std::byte* part = base == nullptr ? nullptr : base + buffers.bytes;
    buffers.bytes += padded(bytes);
    return part;
  };
  buffers.starts = reinterpret_cast<std::int32_t*>(take(count * sizeof(std::int32_t)));
  buffers.token = reinterpret_cast<std::int32_t*>(take(slots * sizeof(std::int32_t)));
  buffers.place = reinterpret_cast<std::int32_t*>(take(slots * sizeof(std::int32_t)));
  buffers.active = reinterpret_cast<std::int32_t*>(take(count * sizeof(std::int32_t)));
  buffers.pieces = reinterpret_cast<std::int64_t*>(take(count * sizeof(std::int64_t)));
  buffers.token_codes = take(static_cast<std::size_t>(tokens) * code_bytes(hidden));
  buffers.codes = take(slots * code_bytes(std::max(hidden, ffn)));
  buffers.values = reinterpret_cast<float*>(take(slots * static_cast<std::size_t>(hidden) * sizeof(float)));
  buffers.inner = reinterpret_cast<float*>(take(slots * static_cast<std::size_t>(ffn) * sizeof(float)));
  return buffers;
}

}  // namespace

// One call of experts(), step by step.
class ExpertPass {
 public:
  ExpertPass(CpuOps& ops, const float* x, std::int64_t tokens, const ExpertSet& set, const Routing& routing,
             std::span<std::byte> workspace)
      : ops_(ops), set_(set), routing_(routing), x_(x), tokens_(tokens) {
    chosen_ = static_cast<std::int64_t>(routing.experts.size()) / tokens;
    experts_ = static_cast<std::int64_t>(set.gate.size());
    buffers_ = carve(workspace.data(), tokens, chosen_, experts_, set.hidden_size, set.ffn_size);
    CHECK(buffers_.bytes <= workspace.size(), "the workspace is sized by experts_workspace()");
  }

  void run(const float* residual, float* out) {
    sort_slots();
    pack_chosen();
    gather();
    up();
    down();
    combine(residual, out);
  }

 private:
  struct Piece {
    std::int64_t expert, first_slot, rows, first_panel, panels;
  };

  void sort_slots();
  void pack_chosen();
  void gather();
  void up();
  void up_piece(const Piece& piece, int worker);
  void down();
  void combine(const float* residual, float* out);

  std::int64_t rows_of(std::int64_t expert) const {
    return buffers_.starts[expert + 1] - buffers_.starts[expert];
  }
  bool any_quantised(const std::vector<LazyWeight*>& matrices) const {
    return std::any_of(matrices.begin(), matrices.end(),
                       [](const LazyWeight* matrix) { return is_quantised(*matrix); });
  }
  bool all_quantised(const std::vector<LazyWeight*>& matrices) const {
    return std::all_of(matrices.begin(), matrices.end(),
                       [](const LazyWeight* matrix) { return is_quantised(*matrix); });
  }
  // One row for each slot, of what its token wants of its expert's matrix.
  void list_changes(const std::vector<LazyWeight*>& matrices, const float* slots, RowChanges& changes);
  void add_changes(const RowChanges& changes, const Piece& piece, float* out, std::int64_t stride) const;
  // Body once for every piece of the active experts' matrices of `panels` panels.
  void for_pieces(std::int64_t panels, const std::function<void(const Piece&, int)>& body);
  void multiply(const LazyWeight& matrix, const std::vector<float>& biases, const Piece& piece,
                const Inputs& inputs, float* out, std::int64_t stride, int worker) const;

  CpuOps& ops_;
  const ExpertSet& set_;
  const Routing& routing_;
  const float* x_;
  std::int64_t tokens_, chosen_ = 0, experts_ = 0, active_ = 0;
  Buffers buffers_;
};

void ExpertPass::sort_slots() {
  std::fill_n(buffers_.starts, experts_ + 1, 0);
  for (const std::int32_t expert : routing_.experts) ++buffers_.starts[expert + 1];
  active_ = 0;
  for (std::int64_t expert = 0; expert < experts_; ++expert) {
    if (buffers_.starts[expert + 1] > 0) buffers_.active[active_++] = static_cast<std::int32_t>(expert);
    buffers_.starts[expert + 1] += buffers_.starts[expert];
  }
  for (std::size_t choice = routing_.experts.size(); choice-- > 0;) {  // ends of experts move to their starts
    const std::int32_t slot = --buffers_.starts[routing_.experts[choice] + 1];
    buffers_.token[slot] = static_cast<std::int32_t>(static_cast<std::int64_t>(choice) / chosen_);
    buffers_.place[choice] = slot;
  }
  for (std::int64_t expert = 0; expert < experts_; ++expert)
    buffers_.starts[expert] = buffers_.starts[expert + 1];
  buffers_.starts[experts_] = static_cast<std::int32_t>(routing_.experts.size());
}

void ExpertPass::pack_chosen() {
  for (std::int64_t i = 0; i < active_; ++i) {
    const auto expert = static_cast<std::size_t>(buffers_.active[i]);
    for (LazyWeight* matrix : {set_.gate[expert], set_.up[expert], set_.down[expert]}) {
      if (!matrix->packed) ops_.pack_now(*matrix);
      ops_.expert_traffic_.read += matrix->weight.bytes;
    }
  }
}

// Brings the inputs of each expert together. Where an expert has one token only, up_piece() reads that
// token's row.
void ExpertPass::gather() {
  const std::int64_t hidden = set_.hidden_size;
  const std::size_t stride = code_bytes(hidden);
  const bool codes = any_quantised(set_.gate) || any_quantised(set_.up);
  const bool values = !all_quantised(set_.gate) || !all_quantised(set_.up);
  if (codes && !set_.weigh_input) {
    ops_.for_rows(tokens_, [&](std::int64_t token) {
      ops_.table_.quantise_row(x_ + token * hidden, hidden,
                               buffers_.token_codes + static_cast<std::size_t>(token) * stride);
    });
  }
  if (tokens_ == 1 && !set_.weigh_input) return;
  ops_.for_rows(tokens_ * chosen_, [&](std::int64_t choice) {
    const std::int64_t token = choice / chosen_;
    const std::int64_t slot = buffers_.place[choice];
    const float* from = x_ + token * hidden;
    float* to = buffers_.values + slot * hidden;
    std::byte* to_codes = buffers_.codes + static_cast<std::size_t>(slot) * stride;
    if (set_.weigh_input) {
      const float weight = routing_.weights[static_cast<std::size_t>(choice)];
      for (std::int64_t i = 0; i < hidden; ++i) to[i] = from[i] * weight;
      if (codes) ops_.table_.quantise_row(to, hidden, to_codes);
      return;
    }
    if (rows_of(routing_.experts[static_cast<std::size_t>(choice)]) == 1) return;
    if (values) std::copy_n(from, hidden, to);
    if (codes) std::memcpy(to_codes, buffers_.token_codes + static_cast<std::size_t>(token) * stride, stride);
  });
}

// `slots` null: the input of a slot is its token's row.
void ExpertPass::list_changes(const std::vector<LazyWeight*>& matrices, const float* slots,
                              RowChanges& changes) {
  changes.clear();
  if (ops_.choices_.empty()) return;
  for (std::int64_t i = 0; i < active_; ++i) {
    const std::int32_t expert = buffers_.active[i];
    const Weight& weight = matrices[static_cast<std::size_t>(expert)]->weight;
    for (std::int64_t slot = buffers_.starts[expert]; slot < buffers_.starts[expert + 1]; ++slot) {
      const std::int64_t token = buffers_.token[slot];
      changes.add_row(weight, ops_.choices_[static_cast<std::size_t>(token)],
                      slots == nullptr ? x_ + token * weight.columns : slots + slot * weight.columns);
    }
  }
  changes.compute_inner(ops_.table_, ops_.pool_);
}

void ExpertPass::add_changes(const RowChanges& changes, const Piece& piece, float* out,
                             std::int64_t stride) const {
  for (std::int64_t row = 0; row < piece.rows; ++row) {
    changes.apply(ops_.table_, piece.first_slot + row, piece.first_panel, piece.panels, out + row * stride);
  }
}

void ExpertPass::for_pieces(std::int64_t panels, const std::function<void(const Piece&, int)>& body) {
  constexpr std::int64_t kPiecesPerWorker = 16;
  constexpr std::int64_t kPanelsPerTile = 2;  // the kernels work on two panels at a time
  constexpr std::int64_t kRoom = kGatherBytes / sizeof(float) / kPanelRows;  // rows × panels of a piece
  const std::int64_t most_rows = kRoom / kPanelsPerTile;
  std::int64_t chunk = std::max<std::int64_t>(panels * active_ / (kPiecesPerWorker * ops_.pool_.size()), 1);
  chunk = std::min((chunk + kPanelsPerTile - 1) / kPanelsPerTile * kPanelsPerTile, panels);
  const auto chunk_for = [&](std::int64_t rows) {
    return std::min(
        chunk, std::max(kRoom / std::min(rows, most_rows) / kPanelsPerTile * kPanelsPerTile, kPanelsPerTile));
  };
  buffers_.pieces[0] = 0;
  for (std::int64_t i = 0; i < active_; ++i) {
    const std::int64_t rows = rows_of(buffers_.active[i]);
    const std::int64_t cuts = (rows + most_rows - 1) / most_rows;
    const std::int64_t width = chunk_for(rows);
    buffers_.pieces[i + 1] = buffers_.pieces[i] + cuts * ((panels + width - 1) / width);
  }
  ops_.pool_.run(buffers_.pieces[active_], [&](std::int64_t piece, int worker) {
    const std::int64_t* found = std::upper_bound(buffers_.pieces, buffers_.pieces + active_, piece) - 1;
    const std::int64_t expert = buffers_.active[found - buffers_.pieces];
    const std::int64_t rows = rows_of(expert);
    const std::int64_t width = chunk_for(rows);
    const std::int64_t across = (panels + width - 1) / width;
    const std::int64_t first_row = (piece - *found) / across * most_rows;
    const std::int64_t first_panel = (piece - *found) % across * width;
    body({.expert = expert,
          .first_slot = buffers_.starts[expert] + first_row,
          .rows = std::min(most_rows, rows - first_row),
          .first_panel = first_panel,
          .panels = std::min(width, panels - first_panel)},
         worker);
  });
}

void ExpertPass::multiply(const LazyWeight& matrix, const std::vector<float>& biases, const Piece& piece,
                          const Inputs& inputs, float* out, std::int64_t stride, int worker) const {
  const Weight& weight = matrix.weight;
  const auto& layout = *static_cast<const CpuOps::Layout*>(weight.layout);
  const std::byte* panels = weight.data + static_cast<std::size_t>(piece.first_panel) * layout.panel_bytes;
  const std::int64_t first = piece.first_panel * kPanelRows;
  const kernels::MatmulOutput to{
      .out = out,
      .stride = stride,
      .row_limit = std::min(piece.panels * kPanelRows, weight.rows - first),
      .bias = biases.empty() ? nullptr : biases.data() + piece.expert * weight.rows + first};
  if (layout.panels != nullptr) {
    ops_.table_.matmul(layout.panels, panels, {piece.panels}, weight.columns, inputs.codes, piece.rows, to,
                       ops_.worker_scratch(worker) + kGatherBytes);
  } else {
    ops_.table_.matmul_float(layout.floats, panels, piece.panels, weight.columns, inputs.values, piece.rows,
                             to);
  }
}

// Gates go to buffers_.inner, ups to the worker's scratch, and their product takes the gates' place.
void ExpertPass::up_piece(const Piece& piece, int worker) {
  const auto expert = static_cast<std::size_t>(piece.expert);
  const auto slot = static_cast<std::size_t>(piece.first_slot);
  const std::int64_t hidden = set_.hidden_size;
  const std::int64_t ffn = set_.ffn_size;
  Inputs inputs{buffers_.codes + slot * code_bytes(hidden), buffers_.values + piece.first_slot * hidden};
  if (rows_of(piece.expert) == 1 && !set_.weigh_input) {
    const std::int64_t token = buffers_.token[slot];
    inputs = {buffers_.token_codes + static_cast<std::size_t>(token) * code_bytes(hidden),
              x_ + token * hidden};
  }
  const std::int64_t first = piece.first_panel * kPanelRows;
  const std::int64_t width = std::min(piece.panels * kPanelRows, ffn - first);
  float* gate = buffers_.inner + piece.first_slot * ffn + first;
  auto* up = reinterpret_cast<float*>(ops_.worker_scratch(worker));
  multiply(*set_.gate[expert], set_.gate_bias, piece, inputs, gate, ffn, worker);
  multiply(*set_.up[expert], set_.up_bias, piece, inputs, up, width, worker);
  add_changes(ops_.gate_changes_, piece, gate, ffn);
  add_changes(ops_.up_changes_, piece, up, width);
  for (std::int64_t row = 0; row < piece.rows; ++row) {
    float* inner = gate + row * ffn;
    ops_.gate_row(set_.activation, set_.clamp, inner, up + row * width, width, inner);
  }
}

void ExpertPass::up() {
  const float* inputs = set_.weigh_input ? buffers_.values : nullptr;
  list_changes(set_.gate, inputs, ops_.gate_changes_);
  list_changes(set_.up, inputs, ops_.up_changes_);
  for_pieces(panels_of(set_.ffn_size), [this](const Piece& piece, int worker) { up_piece(piece, worker); });
}

// Outputs go to buffers_.values.
void ExpertPass::down() {
  const std::int64_t hidden = set_.hidden_size;
  const std::int64_t ffn = set_.ffn_size;
  const std::size_t stride = code_bytes(ffn);
  if (any_quantised(set_.down)) {
    ops_.for_rows(tokens_ * chosen_, [&](std::int64_t slot) {
      ops_.table_.quantise_row(buffers_.inner + slot * ffn, ffn,
                               buffers_.codes + static_cast<std::size_t>(slot) * stride);
    });
  }
  list_changes(set_.down, buffers_.inner, ops_.gate_changes_);
  for_pieces(panels_of(hidden), [&](const Piece& piece, int worker) {
    const auto slot = static_cast<std::size_t>(piece.first_slot);
    const Inputs inputs{buffers_.codes + slot * stride, buffers_.inner + piece.first_slot * ffn};
    float* out = buffers_.values + piece.first_slot * hidden + piece.first_panel * kPanelRows;
    multiply(*set_.down[static_cast<std::size_t>(piece.expert)], set_.down_bias, piece, inputs, out, hidden,
             worker);
    add_changes(ops_.gate_changes_, piece, out, hidden);
  });
}

void ExpertPass::combine(const float* residual, float* out) {
  const std::int64_t hidden = set_.hidden_size;
  ops_.for_rows(tokens_, [&](std::int64_t token) {
    float* sum =
        buffers_.values + std::int64_t{buffers_.place[token * chosen_]} * hidden;  // the best expert's output
    for (std::int64_t k = 0; k < chosen_; ++k) {
      const std::int64_t choice = token * chosen_ + k;
      const float* y = buffers_.values + std::int64_t{buffers_.place[choice]} * hidden;
      const float weight = set_.weigh_input ? 1.0f : routing_.weights[static_cast<std::size_t>(choice)];
      if (k == 0) {
        for (std::int64_t i = 0; i < hidden; ++i) sum[i] *= weight;
      } else {
        for (std::int64_t i = 0; i < hidden; ++i) sum[i] += y[i] * weight;
      }
    }
    for (std::int64_t i = 0; i < hidden; ++i) {
      out[token * hidden + i] = residual == nullptr ? sum[i] : sum[i] + residual[token * hidden + i];
    }
  });
}

std::size_t experts_workspace(std::int64_t rows, const RouterOptions& router, std::int64_t hidden_size,
                              std::int64_t ffn_size) {
  return carve(nullptr, rows, router.chosen, router.experts, hidden_size, ffn_size).bytes;
}

void CpuOps::experts(const float* x, std::int64_t rows, const ExpertSet& set, const Routing& routing,
                     std::span<std::byte> workspace, const float* residual, float* out) {
  ExpertPass(*this, x, rows, set, routing, workspace).run(residual, out);
}

void CpuOps::route(const float* logits, const float* correction, std::int64_t rows,
                   const RouterOptions& options, const Routing& routing) {
  for_rows(rows, [&](std::int64_t row) {
    const std::int64_t first = row * options.chosen;
    route_token(options, logits + row * options.experts, correction, routing.experts.data() + first,
                routing.weights.data() + first);
  });
}

void CpuOps::gate_row(Activation activation, float clamp, const float* gate, const float* up,
                      std::int64_t columns, float* out) const {
  if (activation == Activation::kSilu) return table_.silu_multiply(gate, up, columns, out);
  if (activation == Activation::kGelu) return table_.exact_gelu_multiply(gate, up, columns, out);
  if (activation == Activation::kGeluTanh) return table_.gelu_multiply(gate, up, columns, out);
  table_.clamped_swiglu(gate, up, clamp, columns, out);
}

Result<LazyWeight*> CpuOps::pack_later(MatrixSource source) {
  const std::int64_t rows = source.matrix.rows();
  const std::int64_t columns = source.matrix.columns();
  const Layout layout = TRY(layout_for(source.matrix.dtype, columns, source.block_columns));
  // Experts come by the thousand and are alike: one layout for a run of them.
  const bool same = !layouts_.empty() && layouts_.back().panels == layout.panels &&
                    layouts_.back().panel_bytes == layout.panel_bytes &&
                    layouts_.back().floats.kind == layout.floats.kind &&
                    layouts_.back().floats.block_columns == layout.floats.block_columns;
  if (!same) layouts_.push_back(layout);
  LazyWeight lazy;
  lazy.weight = carve(layouts_.back(), rows, columns);
  lazy.packed = !mapped_.empty();
  expert_traffic_.reserved += lazy.weight.bytes;
  lazy.source = std::move(source);
  lazy_.push_back(std::move(lazy));
  return &lazy_.back();
}

void CpuOps::pack_waiting() {
  for (LazyWeight& lazy : lazy_) {
    if (!lazy.packed) pack_now(lazy);
  }
}

void CpuOps::pack_now(LazyWeight& lazy) {
  const MatrixSource& source = lazy.source;
  const Layout& layout = *static_cast<const Layout*>(lazy.weight.layout);
  std::byte* base = writable(lazy.weight);
  std::vector<float> values;
  BlockScales scales{.values = {}, .block_rows = source.block_rows, .block_columns = source.block_columns};
  if (source.scales != nullptr) {
    values.resize(static_cast<std::size_t>(source.scales->elements()));
    traits(source.scales->dtype)
        .dequantise(source.scales->data.data(), values.data(), source.scales->elements());
    scales.values = values;
  }
  pool_.run(panels_of(lazy.weight.rows), [&](std::int64_t panel, int) {
    std::byte* out = base + static_cast<std::size_t>(panel) * layout.panel_bytes;
    if (!source.read_rows) return pack_one(layout, source.matrix, scales, panel, out);
    const std::int64_t first = panel * kPanelRows;
    const std::int64_t count = std::min<std::int64_t>(kPanelRows, lazy.weight.rows - first);
    const FormatTraits& format = traits(source.matrix.dtype);
    const std::size_t row_bytes = static_cast<std::size_t>(lazy.weight.columns / format.block_elements) *
                                  static_cast<std::size_t>(format.block_bytes);
    std::vector<std::byte> made(static_cast<std::size_t>(count) * row_bytes);
    source.read_rows(first, count, made.data());
    const TensorView rows{
        .name = {}, .dtype = source.matrix.dtype, .shape = {count, lazy.weight.columns}, .data = made};
    pack_one(layout, rows, scales, 0, out);
  });
  lazy.packed = true;
  if (source.done) source.done();
}

}  // namespace maestrale::ops
