#include "models/dense.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/check.h"
#include "nn/expert_weights.h"

namespace maestrale::models {
namespace {

using files::Dialect;

class DenseModel final : public Model {
 public:
  DenseModel(DenseSpec spec, nn::DenseDecoder decoder)
      : spec_(std::move(spec)), decoder_(std::move(decoder)) {}
  const ModelInfo& info() const override { return spec_.info; }
  std::size_t workspace_bytes(std::int64_t rows) const override {
    return nn::DenseDecoder::workspace_bytes(spec_.decoder, rows);
  }
  void forward(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
               float* logits) const override {
    decoder_.forward(ops, batch.tokens, {batch.positions, batch.sequences}, batch.logit_rows, cache,
                     nn::Workspace(workspace), logits);
  }
  void states(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
              float* out) const override {
    decoder_.states(ops, batch.tokens, {batch.positions, batch.sequences}, batch.logit_rows, cache,
                    nn::Workspace(workspace), out);
  }
  void predict(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> workspace,
               float* states, float* logits) const override {
    CHECK(spec_.info.mtp, "only where info().mtp");
    decoder_.predict(ops, batch.tokens, {batch.positions, batch.sequences}, cache, nn::Workspace(workspace),
                     states, logits);
  }

 private:
  DenseSpec spec_;
  nn::DenseDecoder decoder_;
};

Status check_heads(const ModelInfo& info, const std::string& where) {
  const bool group_fits = info.heads % info.kv_heads == 0 && info.heads / info.kv_heads <= ops::kMaxGroup;
  if (group_fits && info.head_size % 2 == 0 && info.head_size <= ops::kMaxHeadSize) return {};
  return Error{.what = "the head counts do not fit",
               .where = where,
               .expected = "heads a multiple of KV heads (at most " + std::to_string(ops::kMaxGroup) +
                           " times), an even head size of at most " + std::to_string(ops::kMaxHeadSize),
               .found = std::to_string(info.heads) + " heads, " + std::to_string(info.kv_heads) +
                        " KV heads of " + std::to_string(info.head_size)};
}

// GGUF's rope_freqs.weight: [rotated / 2] divisors of the frequencies.
Status read_divisors(const files::Checkpoint& checkpoint, nn::RopeOptions& rope) {
  if (rope.scaling != nn::RopeScaling::kDivisors) return {};
  const TensorView* tensor = checkpoint.find("rope_freqs.weight");
  if (tensor->shape != std::vector<std::int64_t>{rope.rotated / 2} || tensor->dtype != DType::kF32) {
    return Error{.what = "tensor 'rope_freqs.weight' has the wrong shape or type",
                 .where = checkpoint.path.string(),
                 .expected = "f32 [" + std::to_string(rope.rotated / 2) + "]",
                 .found = std::string(traits(tensor->dtype).name) + " " + shape_text(tensor->shape)};
  }
  rope.divisors.resize(static_cast<std::size_t>(rope.rotated / 2));
  traits(tensor->dtype).dequantise(tensor->data.data(), rope.divisors.data(), rope.rotated / 2);
  if (std::all_of(rope.divisors.begin(), rope.divisors.end(), [](float f) { return f > 0; })) return {};
  return Error{.what = "tensor 'rope_freqs.weight' holds values that are not positive",
               .where = checkpoint.path.string()};
}

}  // namespace

Result<DenseSpec> read_dense(const ConfigReader& config, std::string_view id, const DenseDefaults& defaults) {
  DenseSpec spec;
  ModelInfo& info = spec.info;
  info.architecture = std::string(id);
  info.hidden_size = TRY(config.size(keys::kHidden));
  info.layers = TRY(config.size(keys::kLayers));
  info.heads = TRY(config.size(keys::kHeads));
  info.kv_heads = TRY(config.size_or(keys::kKvHeads, info.heads));
  info.head_size =
      TRY(config.size_or(keys::kHeadSize, std::max<std::int64_t>(info.hidden_size / info.heads, 1)));
  info.ffn_size = TRY(config.size(keys::kFfn));
  info.vocabulary = TRY(config.vocabulary());
  info.max_context = TRY(config.size_or(keys::kContext, 0));
  if (!defaults.latent) TRY(check_heads(info, config.fields().where()));
  if (info.layers > static_cast<std::int64_t>(config.checkpoint().tensors.size())) {
    return Error{.what = "more layers than tensors",
                 .where = config.fields().where(),
                 .found = std::to_string(info.layers) + " layers"};
  }
  nn::AttentionBlockOptions layer;
  layer.hidden_size = info.hidden_size;
  layer.heads = static_cast<int>(info.heads);
  layer.kv_heads = static_cast<int>(info.kv_heads);
  layer.head_size = static_cast<int>(info.head_size);
  layer.eps =
      static_cast<float>(config.dialect() == Dialect::kLlama2c ? 1e-5 : TRY(config.positive(keys::kEps)));
  layer.rope = TRY(read_rope(config, defaults.rope_base, defaults.rope_layer_type));
  layer.rope.rotated = info.head_size;
  layer.rope.pairing = config.dialect() == Dialect::kHuggingFace ? ops::RopePairing::kHalf
                       : config.dialect() == Dialect::kGguf      ? defaults.gguf_pairing
                                                                 : ops::RopePairing::kInterleaved;
  TRY(read_divisors(config.checkpoint(), layer.rope));
  spec.decoder.vocabulary = info.vocabulary;
  spec.decoder.ffn_size = info.ffn_size;
  spec.decoder.tied_head = config.tied_head();
  // "MistralModel" and the like: weights saved without the head that they had.
  spec.decoder.head = config.dialect() != Dialect::kHuggingFace ||
                      !TRY(published_architecture(config.checkpoint())).ends_with("Model");
  info.states = true;
  info.logits = spec.decoder.head;
  spec.decoder.layers.assign(static_cast<std::size_t>(info.layers), layer);
  return spec;
}

void describe(DenseSpec& spec) {
  const nn::AttentionBlockOptions& layer = spec.decoder.layers.front();
  ModelInfo& info = spec.info;
  const nn::ParameterCount parameters = nn::parameter_count(spec.decoder);
  info.parameters_total = parameters.total;
  info.parameters_active = parameters.active;
  info.parameters_embedding = spec.decoder.tied_head ? 0 : info.vocabulary * info.hidden_size;
  constexpr std::array kScaling = {"", " linear", " llama3", " yarn", " divisors"};
  info.notes = "rope base " + std::to_string(static_cast<std::int64_t>(layer.rope.base)) +
               kScaling[static_cast<std::size_t>(layer.rope.scaling)] +
               (spec.decoder.tied_head ? ", tied head" : "");
  if (spec.decoder.latent) {
    const nn::LatentAttentionOptions& latent = *spec.decoder.latent;
    info.notes += ", latent attention " + std::to_string(latent.latent_size) + " + " +
                  std::to_string(latent.rotated_size);
    if (latent.indexer) info.notes += ", best " + std::to_string(latent.indexer->most) + " keys";
  }
  const auto windowed = std::count_if(spec.decoder.layers.begin(), spec.decoder.layers.end(),
                                      [](const auto& options) { return options.window > 0; });
  if (spec.decoder.moe) {
    const ops::RouterOptions& router = spec.decoder.moe->router;
    info.notes += ", " + std::to_string(router.experts) + " experts of " +
                  std::to_string(spec.decoder.moe->ffn_size) + ", " + std::to_string(router.chosen) +
                  " for a token";
    if (spec.decoder.moe->shared_ffn_size > 0) {
      info.notes += " and a shared one of " + std::to_string(spec.decoder.moe->shared_ffn_size);
    }
  }
  if (spec.decoder.mtp) {
    const auto millions = nn::mtp_parameter_count(spec.decoder) / 1'000'000;
    info.notes += ", predicts further tokens (MTP layer of " + std::to_string(millions) + " M parameters)";
  }
  if (windowed > 0) info.notes += ", sliding window on " + std::to_string(windowed) + " layers";
}

namespace {

ops::KvShape kv_shape(const DenseSpec& spec) {
  ops::KvShape shape;
  shape.layers = spec.layers_used();
  if (spec.decoder.mtp) shape.recent_size = static_cast<int>(spec.info.hidden_size);
  if (!spec.decoder.latent) {
    shape.kv_heads = static_cast<int>(spec.info.kv_heads);
    shape.head_size = static_cast<int>(spec.info.head_size);
    return shape;
  }
  const nn::LatentAttentionOptions& latent = *spec.decoder.latent;
  shape.kv_heads = 1;
  shape.head_size = latent.row_size();
  shape.latent = true;
  shape.index_size = latent.indexer ? latent.indexer->head_size : 0;
  return shape;
}

// Columns of the widest matrix.
std::int64_t widest_input(const DenseSpec& spec) {
  const std::int64_t expert =
      spec.decoder.moe ? std::max(spec.decoder.moe->ffn_size, spec.decoder.moe->shared_ffn_size) : 0;
  const std::int64_t widest = std::max({expert, spec.info.hidden_size * (spec.decoder.mtp ? 2 : 1),
                                        spec.info.ffn_size, spec.info.heads * spec.info.head_size});
  if (!spec.decoder.latent) return widest;
  return std::max(
      {widest, spec.decoder.latent->query_rank, spec.info.heads * spec.decoder.latent->value_size});
}

}  // namespace

Result<LoadPlan> plan_dense(const files::Checkpoint& checkpoint, const ops::Ops& ops, const DenseSpec& spec) {
  LoadPlan plan;
  plan.info = spec.info;
  plan.kv = kv_shape(spec);
  nn::WeightLoader planner(checkpoint, ops);
  if (spec.decoder.leave_further_layers) planner.leave_layers_from(spec.layers_used());
  if (spec.decoder.mtp) TRY(nn::MtpHead::plan(planner, spec.decoder));
  for (int layer = 0; layer < plan.kv.layers; ++layer) {
    if (spec.decoder.has_moe(layer)) TRY(nn::plan_experts(planner, layer, *spec.decoder.moe));
  }
  plan.weight_bytes = planner.planned_bytes();
  plan.weight_bytes +=
      TRY(nn::planned_weight_bytes(checkpoint, ops, spec.decoder.tied_head && spec.decoder.head, &planner));
  for (int layer = 0; spec.decoder.latent && layer < plan.kv.layers; ++layer) {
    plan.weight_bytes += TRY(nn::LatentAttention::extra_bytes(checkpoint, ops, layer, *spec.decoder.latent));
  }
  plan.workspace_bytes = [options = spec.decoder](std::int64_t rows) {
    return nn::DenseDecoder::workspace_bytes(options, rows);
  };
  plan.widest_input = widest_input(spec);
  return plan;
}

Result<std::unique_ptr<Model>> load_dense(const files::Checkpoint& checkpoint, ops::Ops& ops, DenseSpec spec,
                                          const Progress& progress) {
  nn::WeightLoader loader(checkpoint, ops, progress);
  if (spec.decoder.layers.front().rope.scaling == nn::RopeScaling::kDivisors)
    loader.claim_exact("rope_freqs.weight");
  nn::DenseDecoder decoder = TRY(nn::DenseDecoder::load(loader, spec.decoder));
  return std::unique_ptr<Model>(std::make_unique<DenseModel>(std::move(spec), std::move(decoder)));
}

}  // namespace maestrale::models
