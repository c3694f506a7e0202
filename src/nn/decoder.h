// DenseDecoder: embedding, layers, final norm and head. Models of the Llama form are this block with their
// own options.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nn/decoder_layer.h"
#include "nn/loader.h"
#include "nn/mtp_head.h"
#include "nn/workspace.h"
#include "ops/ops.h"

namespace maestrale::nn {

class DenseDecoder {
 public:
  static Result<DenseDecoder> load(WeightLoader& loader, const DenseDecoderOptions& options);

  // logits[logit_rows.size(), vocabulary] of the named rows.
  void forward(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
               std::span<const std::int32_t> logit_rows, ops::KvCache& cache, Workspace workspace,
               float* logits) const;
  // out[wanted.size(), hidden]: the states of the named rows after the final norm.
  void states(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
              std::span<const std::int32_t> wanted, ops::KvCache& cache, Workspace workspace,
              float* out) const;
  // Further tokens, where options.mtp (models::Model::predict).
  void predict(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
               ops::KvCache& cache, Workspace workspace, float* states, float* logits) const;
  static std::size_t workspace_bytes(const DenseDecoderOptions& options, std::int64_t rows);

 private:
  // [wanted.size(), hidden] in the workspace: normed states · logit_scale.
  const float* final_states(ops::Ops& ops, std::span<const std::int32_t> tokens, const ops::BatchRows& rows,
                            std::span<const std::int32_t> wanted, ops::KvCache& cache,
                            Workspace workspace) const;
  DenseDecoderOptions options_;
  TensorView embedding_;
  std::vector<float> embedding_values_;  // only where the file's table cannot be read row by row
  std::vector<DecoderLayer> layers_;
  std::vector<float> norm_;
  ops::Weight head_;
  std::optional<MtpHead> mtp_;
};

// Parameters of the whole decoder without its MTP head, a tied matrix counted once.
ParameterCount parameter_count(const DenseDecoderOptions& options);

}  // namespace maestrale::nn
