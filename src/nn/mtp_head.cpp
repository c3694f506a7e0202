#include "nn/mtp_head.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/check.h"

namespace maestrale::nn {
namespace {

// x[rows, hidden]: for each row the state of the position before it, zero where it is not known.
void gather_states_before(const ops::BatchRows& rows, const float* states, ops::KvCache& cache,
                          std::int64_t hidden, float* x) {
  for (std::size_t row = 0; row < rows.positions.size(); ++row, x += hidden) {
    const std::int64_t before = std::int64_t{rows.positions[row]} - 1;
    const bool in_batch =
        row > 0 && rows.sequences[row - 1] == rows.sequences[row] && rows.positions[row - 1] == before;
    const float* state = nullptr;
    if (in_batch) {
      state = states + (static_cast<std::int64_t>(row) - 1) * hidden;
    } else if (before >= 0) {
      state = cache.recent(rows.sequences[row]).find(before);
    }
    if (state == nullptr) {
      std::fill_n(x, hidden, 0.0f);
    } else {
      std::copy_n(state, hidden, x);
    }
  }
}

void remember_last_states(const ops::BatchRows& rows, const float* states, ops::KvCache& cache,
                          std::int64_t hidden) {
  constexpr auto kKept = static_cast<std::size_t>(ops::kRecentStates);
  const auto size = static_cast<std::size_t>(hidden);
  for (std::size_t row = 0; row < rows.positions.size(); ++row) {
    const std::int32_t sequence = rows.sequences[row];
    const std::size_t pushes_out = row + kKept;  // the row that would take its place
    if (pushes_out < rows.sequences.size() && rows.sequences[pushes_out] == sequence) continue;
    cache.recent(sequence).put(rows.positions[row], {states + row * size, size});
  }
}

}  // namespace

Result<MtpHead> MtpHead::load(WeightLoader& loader, const DenseDecoderOptions& options) {
  CHECK(options.latent, "the head is of models with latent attention");
  MtpHead head;
  head.options_ = options;
  const std::int64_t hidden = options.hidden_size();
  const auto index = static_cast<int>(options.layers.size());
  const std::string prefix = "blk." + std::to_string(index) + ".nextn.";
  head.embedding_norm_ = TRY(loader.norm(prefix + "enorm", hidden));
  head.state_norm_ = TRY(loader.norm(prefix + "hnorm", hidden));
  head.join_ = TRY(loader.matrix(prefix + "eh_proj", hidden, 2 * hidden));
  head.layer_ = TRY(DecoderLayer::load(loader, index, options));
  head.norm_ = TRY(loader.norm(prefix + "shared_head_norm", hidden));
  if (loader.has(prefix + "embed_tokens")) {
    head.embedding_ =
        TRY(loader.table(prefix + "embed_tokens", options.vocabulary, hidden, head.embedding_values_));
  }
  if (loader.has(prefix + "shared_head_head"))
    head.head_ = TRY(loader.matrix(prefix + "shared_head_head", options.vocabulary, hidden));
  return head;
}

Status MtpHead::plan(WeightLoader& planner, const DenseDecoderOptions& options) {
  const std::string table = "blk." + std::to_string(options.layers.size()) + ".nextn.embed_tokens";
  if (planner.has(table)) TRY(planner.claim(table, "weight"));
  return {};
}

std::size_t MtpHead::workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows) {
  Workspace joining, storing;
  joining.floats(2 * rows * options.hidden_size());
  joining.floats(rows * options.hidden_size());
  storing.floats(rows * options.hidden_size());
  return std::max(joining.used(), storing.used() + DecoderLayer::workspace_bytes(options, rows));
}

void MtpHead::join(ops::Ops& ops, const Inputs& inputs, Workspace workspace, float* x) const {
  const auto n = static_cast<std::int64_t>(inputs.tokens.size());
  const std::int64_t hidden = options_.hidden_size();
  float* pairs = workspace.floats(2 * n * hidden);
  float* embedded = workspace.floats(n * hidden);
  ops.embed(embedding_ ? *embedding_ : inputs.embedding, inputs.tokens, options_.embedding_scale, embedded);
  ops.rms_norm(embedded, embedding_norm_.data(), options_.eps(), n, hidden, embedded);
  ops.rms_norm(x, state_norm_.data(), options_.eps(), n, hidden, x);
  for (std::int64_t row = 0; row < n; ++row) {
    std::copy_n(embedded + row * hidden, hidden, pairs + 2 * row * hidden);
    std::copy_n(x + row * hidden, hidden, pairs + (2 * row + 1) * hidden);
  }
  const std::array joined = {ops::Projection{&join_, x, hidden, nullptr, nullptr}};
  ops.linear(pairs, n, 2 * hidden, joined);
}

void MtpHead::follow(ops::Ops& ops, const Inputs& inputs, const ops::BatchRows& rows, const float* states,
                     ops::KvCache& cache, Workspace workspace, float* x) const {
  const auto n = static_cast<std::int64_t>(inputs.tokens.size());
  const std::int64_t hidden = options_.hidden_size();
  gather_states_before(rows, states, cache, hidden, x);
  remember_last_states(rows, states, cache, hidden);
  join(ops, inputs, workspace, x);
  float* normed = workspace.floats(n * hidden);
  layer_.store(ops, options_, x, normed, rows, cache, workspace);
}

void MtpHead::predict(ops::Ops& ops, const Inputs& inputs, const ops::BatchRows& rows,
                      const DecoderLayer::Buffers& buffers, const ops::Weight& head, ops::KvCache& cache,
                      Workspace workspace, float* states, float* logits) const {
  const auto n = static_cast<std::int64_t>(inputs.tokens.size());
  const std::int64_t hidden = options_.hidden_size();
  std::copy_n(states, n * hidden, buffers.h);
  join(ops, inputs, workspace, buffers.h);
  layer_.forward(ops, options_, buffers, rows, cache, workspace);
  ops.rms_norm(buffers.h, norm_.data(), options_.eps(), n, hidden, states);
  const std::array output = {
      ops::Projection{head_ ? &*head_ : &head, logits, options_.vocabulary, nullptr, nullptr}};
  ops.linear(states, n, hidden, output);
}

std::int64_t mtp_parameter_count(const DenseDecoderOptions& options) {
  const std::int64_t hidden = options.hidden_size();
  return 2 * hidden * hidden + 3 * hidden +
         parameter_count(options, static_cast<int>(options.layers.size())).total;
}

}  // namespace maestrale::nn
