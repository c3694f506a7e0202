// Mamba-2 language models; Codestral Mamba 7B. Layers are a norm and a mixer; there is no attention and no
// MLP. Sources: state-spaces/mamba (Mamba2, whose defaults Mistral folders rely on), arXiv 2405.21060.
// Transformers' port norms the whole inner width at once; the authors' code, and this, norms each group by
// itself.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "models/config.h"
#include "models/registry.h"
#include "nn/mamba.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 20> kUnderstood = {
    "hidden_act",     "rms_norm",       "norm_before_gate", "layer_norm_epsilon", "residual_in_fp32",
    "fused_add_norm", "num_heads",      "n_groups",         "state_size",         "conv_kernel",
    "expand",         "use_bias",       "use_conv_bias",    "time_step_limit",    "rescale_prenorm_residual",
    "chunk_size",     "tie_embeddings", "time_step_rank",   "time_step_scale",    "tie_word_embeddings"};

constexpr Key kHeads{"ssm.time_step_rank", "num_heads", {}};
constexpr Key kHeadSize{{}, "head_dim", {}};
constexpr Key kInner{"ssm.inner_size", {}, {}};
constexpr Key kGroups{"ssm.group_count", "n_groups", "n_groups"};
constexpr Key kState{"ssm.state_size", "state_size", {}};
constexpr Key kConv{"ssm.conv_kernel", "conv_kernel", {}};
constexpr Key kEps{"attention.layer_norm_rms_epsilon", "layer_norm_epsilon", {}};

// What the authors' Mamba2 class assumes; Mistral folders state none of it.
constexpr std::int64_t kExpand = 2, kDefaultHead = 64, kDefaultState = 128, kDefaultConv = 4;
constexpr double kDefaultEps = 1e-5;

struct Spec {
  ModelInfo info;
  nn::MambaOptions mixer;
  bool tied_head = false;
};

Status check(const ConfigReader& config, const nn::MambaOptions& mixer) {
  constexpr int kLanes = 16;
  if (mixer.heads % mixer.groups == 0 && mixer.state_size % kLanes == 0 &&
      mixer.conv_width <= ops::kMaxConvWidth) {
    return {};
  }
  return Error{
      .kind = ErrorKind::kUnsupported,
      .what = "the sizes of the Mamba layers are not supported",
      .where = config.fields().where(),
      .expected =
          "heads a multiple of the groups, a state size that is a multiple of 16, a convolution of at "
          "most " +
          std::to_string(ops::kMaxConvWidth),
      .found = std::to_string(mixer.heads) + " heads, " + std::to_string(mixer.groups) + " groups, state " +
               std::to_string(mixer.state_size) + ", convolution " + std::to_string(mixer.conv_width)};
}

Result<nn::MambaOptions> read_mixer(const ConfigReader& config, std::int64_t hidden) {
  nn::MambaOptions mixer;
  mixer.hidden_size = hidden;
  const bool gguf = config.dialect() == Dialect::kGguf;
  const std::int64_t inner = gguf ? TRY(config.size(kInner)) : kExpand * hidden;
  if (config.has(kHeads)) {
    mixer.heads = static_cast<int>(TRY(config.size(kHeads)));
    mixer.head_size = static_cast<int>(TRY(config.size_or(kHeadSize, inner / mixer.heads)));
  } else {
    mixer.heads = static_cast<int>(inner / kDefaultHead);
    mixer.head_size = kDefaultHead;
  }
  if (mixer.inner_size() != inner) {
    return Error{.what = "the heads of the Mamba layers do not fill the inner size",
                 .where = config.fields().where(),
                 .expected = std::to_string(inner),
                 .found = std::to_string(mixer.inner_size())};
  }
  mixer.groups = static_cast<int>(TRY(config.size(kGroups)));
  mixer.state_size = static_cast<int>(TRY(config.size_or(kState, kDefaultState)));
  mixer.conv_width = static_cast<int>(TRY(config.size_or(kConv, kDefaultConv)));
  mixer.eps = static_cast<float>(TRY(config.positive_or(kEps, kDefaultEps)));
  TRY(check(config, mixer));
  return mixer;
}

Status refuse_other_forms(const ConfigReader& config) {
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.require_false("use_bias"));
  TRY(config.require_false("norm_before_gate"));
  const JsonFields fields = config.fields();
  const bool known = TRY(fields.boolean_or("rms_norm", true)) &&
                     TRY(fields.boolean_or("use_conv_bias", true)) &&
                     TRY(fields.integer_or("expand", kExpand)) == kExpand;
  if (!known) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this form of Mamba is not supported",
                 .where = fields.where(),
                 .expected = "rms_norm, use_conv_bias, expand 2"};
  }
  if (fields.has("time_step_limit")) {
    const json::array* limits = TRY(fields.array("time_step_limit"));
    if (limits->empty() || !limits->front().is_number() || limits->front().to_number<double>() != 0) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "setting 'time_step_limit' is not supported",
                   .where = fields.where(),
                   .expected = "[0, infinity]"};
    }
  }
  return config.refuse_unknown(kUnderstood);
}

Result<Spec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(refuse_other_forms(config));
  Spec spec;
  ModelInfo& info = spec.info;
  info.architecture = "mamba";
  info.hidden_size = TRY(config.size(keys::kHidden));
  info.layers = TRY(config.size(keys::kLayers));
  info.vocabulary = TRY(config.vocabulary());
  spec.mixer = TRY(read_mixer(config, info.hidden_size));
  spec.tied_head = config.tied_head();
  if (info.layers > static_cast<std::int64_t>(checkpoint.tensors.size())) {
    return Error{.what = "more layers than tensors",
                 .where = config.fields().where(),
                 .found = std::to_string(info.layers) + " layers"};
  }
  info.heads = spec.mixer.heads;
  info.kv_heads = 0;
  info.head_size = spec.mixer.head_size;
  info.parameters_total = info.vocabulary * info.hidden_size * (spec.tied_head ? 1 : 2) + info.hidden_size +
                          info.layers * (nn::parameter_count(spec.mixer) + info.hidden_size);
  info.parameters_active = info.parameters_total;
  info.notes = "recurrent: a state of " +
               std::to_string(spec.mixer.state().layer() * info.layers * 4 / 1'000'000) +
               " MB for each sequence, however long";
  return spec;
}

std::size_t workspace_for(const Spec& spec, std::int64_t rows) {
  nn::Workspace counting;
  counting.floats(rows * spec.info.hidden_size);
  counting.floats(rows * spec.info.hidden_size);
  return counting.used() + nn::MambaMixer::workspace_bytes(spec.mixer, rows);
}

class MambaModel final : public Model {
 public:
  static Result<std::unique_ptr<Model>> load(const files::Checkpoint& checkpoint, ops::Ops& ops, Spec spec,
                                             const Progress& progress) {
    nn::WeightLoader loader(checkpoint, ops, progress);
    auto model = std::make_unique<MambaModel>();
    const std::int64_t hidden = spec.info.hidden_size;
    model->embedding_ =
        TRY(loader.table("token_embd", spec.info.vocabulary, hidden, model->embedding_values_));
    for (int layer = 0; layer < static_cast<int>(spec.info.layers); ++layer) {
      model->norms_.push_back(TRY(loader.norm("blk." + std::to_string(layer) + ".attn_norm", hidden)));
      model->mixers_.push_back(TRY(nn::MambaMixer::load(loader, layer, spec.mixer)));
    }
    model->norm_ = TRY(loader.norm("output_norm", hidden));
    model->head_ =
        TRY(loader.matrix(loader.has("output") ? "output" : "token_embd", spec.info.vocabulary, hidden));
    TRY(loader.finish());
    model->spec_ = std::move(spec);
    return std::unique_ptr<Model>(std::move(model));
  }

  const ModelInfo& info() const override { return spec_.info; }
  std::size_t workspace_bytes(std::int64_t rows) const override { return workspace_for(spec_, rows); }

  void forward(ops::Ops& ops, const Batch& batch, ops::KvCache& cache, std::span<std::byte> memory,
               float* logits) const override {
    nn::Workspace workspace(memory);
    const auto rows = static_cast<std::int64_t>(batch.tokens.size());
    const std::int64_t hidden = spec_.info.hidden_size;
    float* h = workspace.floats(rows * hidden);
    float* normed = workspace.floats(rows * hidden);
    ops.embed(embedding_, batch.tokens, 1, h);
    for (std::size_t layer = 0; layer < mixers_.size(); ++layer) {
      ops.rms_norm(h, norms_[layer].data(), spec_.mixer.eps, rows, hidden, normed);
      mixers_[layer].forward(ops, normed, {batch.positions, batch.sequences}, cache, workspace, h);
    }
    for (std::size_t row = 0; row < batch.positions.size(); ++row) {
      cache.advance(batch.sequences[row], batch.positions[row] + 1);
    }
    for (std::size_t i = 0; i < batch.logit_rows.size();
         ++i) {  // the wanted rows move to the front, in order
      const float* from = h + std::int64_t{batch.logit_rows[i]} * hidden;
      std::copy(from, from + hidden, h + static_cast<std::int64_t>(i) * hidden);
    }
    const auto wanted = static_cast<std::int64_t>(batch.logit_rows.size());
    if (wanted == 0) return;
    ops.rms_norm(h, norm_.data(), spec_.mixer.eps, wanted, hidden, normed);
    const std::array head = {ops::Projection{&head_, logits, spec_.info.vocabulary, nullptr, nullptr}};
    ops.linear(normed, wanted, hidden, head);
  }

 private:
  Spec spec_;
  TensorView embedding_;
  std::vector<float> embedding_values_;  // only where the file's table cannot be read row by row
  std::vector<std::vector<float>> norms_;
  std::vector<nn::MambaMixer> mixers_;
  std::vector<float> norm_;
  ops::Weight head_;
};

Result<LoadPlan> plan(const files::Checkpoint& checkpoint, const ops::Ops& ops) {
  const Spec spec = TRY(read(checkpoint));
  LoadPlan plan;
  plan.info = spec.info;
  plan.kv = {.layers = static_cast<int>(spec.info.layers), .state = spec.mixer.state()};
  plan.weight_bytes = TRY(nn::planned_weight_bytes(checkpoint, ops, spec.tied_head, nullptr));
  plan.workspace_bytes = [spec](std::int64_t rows) { return workspace_for(spec, rows); };
  plan.widest_input = std::max(spec.info.hidden_size, spec.mixer.inner_size());
  return plan;
}

Result<std::unique_ptr<Model>> load(const files::Checkpoint& checkpoint, ops::Ops& ops,
                                    const Progress& progress) {
  return MambaModel::load(checkpoint, ops, TRY(read(checkpoint)), progress);
}

}  // namespace

const ModelEntry& mamba_entry() {
  static const ModelEntry entry{.id = "mamba", .plan = plan, .load = load};
  return entry;
}

}  // namespace maestrale::models
