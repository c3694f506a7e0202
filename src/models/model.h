// Model: one architecture with its weights loaded, and what is known of it before loading.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "files/checkpoint.h"
#include "ops/kv_cache.h"
#include "ops/ops.h"

namespace maestrale::models {

// Known from the configuration alone.
struct ModelInfo {
  std::string architecture;  // registry id: "llama", "mistral", "qwen2", "qwen3"
  std::int64_t layers = 0, hidden_size = 0, heads = 0, kv_heads = 0, head_size = 0, ffn_size = 0;
  std::int64_t vocabulary = 0;
  std::int64_t max_context = 0;           // positions the model was made for; 0 where the files do not say
  std::int64_t parameters_total = 0;      // each tied matrix once
  std::int64_t parameters_active = 0;     // touched for one token, embedding table and head included
  std::int64_t parameters_embedding = 0;  // of the embedding table, where it is not the head too
  std::string notes;                      // one line: rope, window, ties
  bool logits = true;                     // forward() predicts tokens; false: weights without a head
  bool states = false;                    // states() gives the final states of rows
  bool whole_texts = false;               // rows see later rows: all of a sequence go into one batch
  bool mtp = false;                       // predict() guesses further tokens (multi-token prediction)
  std::int64_t labels = 0;                // scores() gives so many for a sequence; 0: there is no such head
};

// Rows of one forward pass: prefill, decode or both mixed. Rows of one sequence are adjacent, in order.
struct Batch {
  std::span<const std::int32_t> tokens;
  std::span<const std::int32_t> positions;
  std::span<const std::int32_t> sequences;   // KvCache sequence of each row; room is reserved by the caller
  std::span<const std::int32_t> logit_rows;  // rows whose results are wanted, ascending
  std::span<const std::int32_t> types = {};  // token type of each row (encoders); empty: all 0
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  // Bytes of workspace that a forward of `rows` rows takes.
  virtual std::size_t workspace_bytes(std::int64_t rows) const = 0;
  // logits: [batch.logit_rows.size(), vocabulary]. Reads and writes the KV rows of the batch's positions.
  virtual void forward(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
                       float* logits) const = 0;
  // out: [batch.logit_rows.size(), hidden_size], after the final norm. Only where info().states.
  virtual void states(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
                      float* out) const;
  // out: [batch.logit_rows.size(), labels], from rows that begin a sequence. Only where info().labels > 0.
  virtual void scores(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
                      float* out) const;
  // Guesses at the token after each of batch.tokens, none of them at position 0: logits [rows, vocabulary].
  // states [rows, hidden_size]: before, those of the positions before the tokens, as cache.recent() has them;
  // after, what takes the place of the tokens' own for the guess after this one. Writes the head's KV rows at
  // the batch's positions, which forward() writes again. Only where info().mtp.
  virtual void predict(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
                       float* states, float* logits) const;
};

// What loading will take, computed from shapes before any of it is taken.
struct LoadPlan {
  ModelInfo info;
  ops::KvShape kv;  // type is filled in by the engine
  std::size_t weight_bytes = 0;
  std::int64_t widest_input = 0;  // columns of the widest matrix
  std::function<std::size_t(std::int64_t rows)> workspace_bytes;
};

using Progress = std::function<void(double fraction)>;

Result<LoadPlan> plan_model(const files::Checkpoint& checkpoint, const ops::Ops& ops);
Result<std::unique_ptr<Model>> load_model(const files::Checkpoint& checkpoint, ops::Ops& ops,
                                          const Progress& progress);
// Ids of the registry, for messages and documentation.
std::vector<std::string> registered_architectures();

}  // namespace maestrale::models
