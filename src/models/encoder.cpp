#include "models/encoder.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/check.h"
#include "nn/names.h"

namespace maestrale::models {
namespace {

using files::Dialect;

class EncoderModel final : public Model {
 public:
  EncoderModel(EncoderSpec spec, nn::Encoder encoder)
      : spec_(std::move(spec)), encoder_(std::move(encoder)) {}
  const ModelInfo& info() const override { return spec_.info; }
  std::size_t workspace_bytes(std::int64_t rows) const override {
    return nn::Encoder::workspace_bytes(spec_.encoder, rows);
  }
  void forward(ops::Ops&, const Batch&, ops::KvCache&, std::span<std::byte>, float*) const override {
    CHECK(false, "only where info().logits");
  }
  void states(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
              float* out) const override {
    encoder_.states(ops, batch.tokens, batch.types, {batch.positions, batch.sequences}, batch.logit_rows,
                    cache, nn::Workspace(workspace), out);
  }
  void scores(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
              float* out) const override {
    encoder_.scores(ops, batch.tokens, batch.types, {batch.positions, batch.sequences}, batch.logit_rows,
                    cache, nn::Workspace(workspace), out);
  }

 private:
  EncoderSpec spec_;
  nn::Encoder encoder_;
};

// What training left behind and reading texts does not need: heads that guess masked words, the pooler where
// nothing scores with it, stored position numbers.
bool is_left_behind(const std::string& name, bool scorer) {
  if (name.starts_with("cls.predictions.") || name.starts_with("cls.seq_relationship.") ||
      name.starts_with("lm_head.") || name.ends_with("embeddings.position_ids")) {
    return true;
  }
  return !scorer && name.find("pooler.dense.") != name.npos;
}

void claim_left_behind(const files::Checkpoint& checkpoint, const EncoderSpec& spec,
                       nn::WeightLoader& loader) {
  for (const TensorView& tensor : checkpoint.tensors) {
    if (is_left_behind(tensor.name, spec.encoder.labels > 0)) loader.claim_exact(tensor.name);
  }
}

const TensorView* find(const files::Checkpoint& checkpoint, std::string_view canonical) {
  return checkpoint.find(nn::published_name(checkpoint, nn::text_prefix(checkpoint), canonical, "weight"));
}

// Rows of a table or matrix that a file may have; 0 where it has none.
std::int64_t rows_of(const files::Checkpoint& checkpoint, std::string_view canonical) {
  const TensorView* tensor = find(checkpoint, canonical);
  return tensor == nullptr || tensor->shape.size() != 2 ? 0 : tensor->rows();
}

}  // namespace

Result<EncoderSpec> read_encoder(const ConfigReader& config, std::string_view id, const EncoderKeys& names) {
  EncoderSpec spec;
  ModelInfo& info = spec.info;
  nn::EncoderOptions& encoder = spec.encoder;
  info.architecture = std::string(id);
  info.hidden_size = TRY(config.size({keys::kHidden.gguf, names.hidden, {}}));
  info.layers = TRY(config.size({keys::kLayers.gguf, names.layers, {}}));
  info.heads = TRY(config.size({keys::kHeads.gguf, names.heads, {}}));
  info.ffn_size = TRY(config.size({keys::kFfn.gguf, names.ffn, {}}));
  info.vocabulary = TRY(config.vocabulary());
  info.max_context = TRY(config.size_or({keys::kContext.gguf, names.context, {}}, 0));
  if (info.hidden_size % info.heads != 0 || info.hidden_size / info.heads > ops::kMaxHeadSize ||
      (info.hidden_size / info.heads) % 2 != 0 ||
      info.layers > static_cast<std::int64_t>(config.checkpoint().tensors.size())) {
    return Error{.what = "the dimensions do not fit",
                 .where = config.fields().where(),
                 .expected = "heads that divide the hidden size, no more layers than tensors",
                 .found = std::to_string(info.heads) + " heads, hidden size " +
                          std::to_string(info.hidden_size) + ", " + std::to_string(info.layers) + " layers"};
  }
  info.kv_heads = info.heads;
  info.head_size = info.hidden_size / info.heads;
  info.logits = false;
  info.states = info.whole_texts = true;
  encoder.vocabulary = info.vocabulary;
  encoder.hidden_size = info.hidden_size;
  encoder.ffn_size = info.ffn_size;
  encoder.layers = static_cast<int>(info.layers);
  encoder.heads = static_cast<int>(info.heads);
  encoder.eps = static_cast<float>(TRY(config.positive({"attention.layer_norm_epsilon", names.eps, {}})));
  encoder.types = rows_of(config.checkpoint(), "token_types");
  encoder.labels = info.labels = rows_of(config.checkpoint(), "cls.output");
  return spec;
}

void describe(EncoderSpec& spec) {
  const nn::EncoderOptions& encoder = spec.encoder;
  spec.info.parameters_total = nn::parameter_count(encoder);
  spec.info.parameters_active = spec.info.parameters_total;
  spec.info.parameters_embedding = encoder.vocabulary * encoder.hidden_size;
  spec.info.notes =
      std::string("encoder, ") +
      (encoder.rope        ? "rope base " + std::to_string(static_cast<std::int64_t>(encoder.rope->base))
       : encoder.distances ? std::string("scores that sink with the distance")
                           : std::string("learned positions"));
  if (encoder.labels > 0) spec.info.notes += ", scores pairs";
}

Result<LoadPlan> plan_encoder(const files::Checkpoint& checkpoint, const ops::Ops& ops,
                              const EncoderSpec& spec) {
  constexpr std::int64_t kSpareRows = 48;  // a tensor of several parts, packed one by one
  LoadPlan plan;
  plan.info = spec.info;
  plan.kv.layers = 1;  // see nn/encoder.h
  plan.kv.kv_heads = static_cast<int>(spec.info.heads);
  plan.kv.head_size = static_cast<int>(spec.info.head_size);
  nn::WeightLoader planner(checkpoint, ops);
  claim_left_behind(checkpoint, spec, planner);
  for (const char* table : {"token_embd", "token_types", "position_embd"}) {
    if (const TensorView* tensor = find(checkpoint, table); tensor != nullptr)
      planner.claim_exact(tensor->name);
  }
  plan.weight_bytes = TRY(nn::planned_weight_bytes(checkpoint, ops, false, &planner));
  for (std::int64_t layer = 0; layer < spec.info.layers; ++layer) {
    for (const char* fused : {".attn_qkv", ".ffn_gate_up"}) {
      const TensorView* tensor = find(checkpoint, "blk." + std::to_string(layer) + fused);
      if (tensor == nullptr || tensor->shape.size() != 2) continue;
      plan.weight_bytes += TRY(ops.packed_bytes(tensor->dtype, kSpareRows, tensor->columns()));
    }
  }
  plan.widest_input = std::max(spec.info.hidden_size, spec.info.ffn_size);
  plan.workspace_bytes = [options = spec.encoder](std::int64_t rows) {
    return nn::Encoder::workspace_bytes(options, rows);
  };
  return plan;
}

Result<std::unique_ptr<Model>> load_encoder(const files::Checkpoint& checkpoint, ops::Ops& ops,
                                            EncoderSpec spec, const Progress& progress) {
  nn::WeightLoader loader(checkpoint, ops, progress);
  claim_left_behind(checkpoint, spec, loader);
  nn::Encoder encoder = TRY(nn::Encoder::load(loader, spec.encoder));
  return std::unique_ptr<Model>(std::make_unique<EncoderModel>(std::move(spec), std::move(encoder)));
}

}  // namespace maestrale::models
