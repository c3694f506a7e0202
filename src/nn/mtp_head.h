// MtpHead: DeepSeek V3's multi-token prediction module (arXiv 2412.19437, section 2.2; arrangement and states
// as in the authors' modeling_deepseek.py). One more layer reads the final state of a token (after the final
// norm) together with the token that came of it, and predicts the one after that.
//
// The head's rows stand in the cache as one more layer. The row at position p is of the token there and of
// the state at p - 1, so it depends on nothing later, and pages that sequences share hold right rows of the
// head too. Position 0 has no state before it and is never looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nn/decoder_layer.h"
#include "nn/loader.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

class MtpHead {
 public:
  // Tokens, and the model's embedding table, which the head shares unless the file has one of its own.
  struct Inputs {
    const TensorView& embedding;
    std::span<const std::int32_t> tokens;
  };

  static Result<MtpHead> load(WeightLoader& loader, const DenseDecoderOptions& options);

  // Tells a planning loader what is not packed.
  static Status plan(WeightLoader& planner, const DenseDecoderOptions& options);

  // Stores the rows of a batch whose final states[rows, hidden] have just been computed, and remembers the
  // last of these in cache.recent(). Where the state before a sequence's first row is not known, a zero takes
  // its place. x: room for [rows, hidden].
  void follow(ops::Ops& ops, const Inputs& inputs, const ops::BatchRows& rows, const float* states,
              ops::KvCache& cache, Workspace workspace, float* x) const;
  // Predicts the token after each of inputs.tokens, none at position 0: logits[rows, vocabulary]. states
  // [rows, hidden]: those before the tokens; afterwards those that take their place for the guess after that.
  // `head`: the model's, used unless the file has one for this.
  void predict(ops::Ops& ops, const Inputs& inputs, const ops::BatchRows& rows,
               const DecoderLayer::Buffers& buffers, const ops::Weight& head, ops::KvCache& cache,
               Workspace workspace, float* states, float* logits) const;
  // Beside buffers of [rows, hidden].
  static std::size_t workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows);

 private:
  // x[rows, hidden] = eh_proj [enorm(embedding); hnorm(x)].
  void join(ops::Ops& ops, const Inputs& inputs, Workspace workspace, float* x) const;

  DenseDecoderOptions options_;
  std::vector<float> embedding_norm_, state_norm_, norm_;
  ops::Weight join_;
  DecoderLayer layer_;
  std::optional<TensorView> embedding_;  // the file's own
  std::vector<float> embedding_values_;
  std::optional<ops::Weight> head_;  // the file's own
};

// All, without an embedding table or output matrix of its own.
std::int64_t mtp_parameter_count(const DenseDecoderOptions& options);

}  // namespace maestrale::nn
