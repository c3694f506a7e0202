#include "models/latent.h"

#include <cmath>
#include <string>

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr Key kQueryRank{"attention.q_lora_rank", "q_lora_rank", "q_lora_rank"};
constexpr Key kLatent{"attention.kv_lora_rank", "kv_lora_rank", "kv_lora_rank"};
constexpr Key kRotated{"rope.dimension_count", "qk_rope_head_dim", "qk_rope_head_dim"};
constexpr Key kPlain{{}, "qk_nope_head_dim", "qk_nope_head_dim"};
constexpr Key kValue{"attention.value_length_mla", "v_head_dim", "v_head_dim"};
// GGUF: a whole query head. Older files state it where newer ones state the cache's row.
constexpr Key kQuery{"attention.key_length_mla", {}, {}};
constexpr Key kOldQuery{"attention.key_length", {}, {}};
constexpr Key kOldValue{"attention.value_length", {}, {}};

constexpr float kInnerEps = 1e-6f;  // of the norms inside; the authors' code takes no setting for it

struct Sizes {
  std::int64_t query_rank = 0, latent = 0, plain = 0, rotated = 0, value = 0;
};

Result<Sizes> read_sizes(const ConfigReader& config) {
  Sizes sizes;
  if (config.has(kQueryRank)) {
    const json::value* rank = config.find(kQueryRank);
    const bool none = rank->is_number() && rank->to_number<double>() == 0;
    sizes.query_rank = none ? 0 : TRY(config.size(kQueryRank));
  }
  sizes.latent = TRY(config.size(kLatent));
  sizes.rotated = TRY(config.size(kRotated));
  if (config.dialect() == Dialect::kGguf) {
    const std::int64_t query = TRY(config.size(config.has(kQuery) ? kQuery : kOldQuery));
    sizes.plain = query - sizes.rotated;
    sizes.value = TRY(config.size(config.has(kValue) ? kValue : kOldValue));
  } else {
    sizes.plain = TRY(config.size(kPlain));
    sizes.value = TRY(config.size(kValue));
  }
  constexpr std::int64_t kLanes = 16;
  if (sizes.plain > 0 && sizes.latent % kLanes == 0 && sizes.rotated % kLanes == 0 &&
      sizes.latent + sizes.rotated <= ops::kMaxHeadSize && sizes.plain <= ops::kMaxHeadSize &&
      sizes.value <= ops::kMaxHeadSize) {
    return sizes;
  }
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "the sizes of the latent attention are not supported",
               .where = config.fields().where(),
               .expected = "latent and rotated sizes that are multiples of 16, heads of at most " +
                           std::to_string(ops::kMaxHeadSize),
               .found = "latent " + std::to_string(sizes.latent) + ", rotated " +
                        std::to_string(sizes.rotated) + ", plain " + std::to_string(sizes.plain) +
                        ", value " + std::to_string(sizes.value)};
}

}  // namespace

Result<DenseSpec> read_latent(const ConfigReader& config, std::string_view id) {
  DenseSpec spec = TRY(read_dense(config, id, {.latent = true}));
  const Sizes sizes = TRY(read_sizes(config));
  nn::LatentAttentionOptions latent;
  latent.hidden_size = spec.info.hidden_size;
  latent.heads = static_cast<int>(spec.info.heads);
  latent.query_rank = sizes.query_rank;
  latent.latent_size = static_cast<int>(sizes.latent);
  latent.plain_size = static_cast<int>(sizes.plain);
  latent.rotated_size = static_cast<int>(sizes.rotated);
  latent.value_size = static_cast<int>(sizes.value);
  latent.eps = kInnerEps;
  latent.score_scale = 1.0f / std::sqrt(static_cast<float>(latent.query_size()));
  latent.rope = spec.decoder.layers.front().rope;
  latent.rope.pairing = ops::RopePairing::kInterleaved;
  latent.rope.rotated = sizes.rotated;
  spec.info.kv_heads = 1;
  spec.info.head_size = latent.query_size();
  spec.decoder.latent = latent;
  return spec;
}

void scale_scores(DenseSpec& spec, double mscale_all_dim) {
  nn::LatentAttentionOptions& latent = *spec.decoder.latent;
  if (latent.rope.scaling != nn::RopeScaling::kYarn || mscale_all_dim == 0) return;
  const double magnitude = nn::yarn_magnitude(latent.rope.factor, mscale_all_dim);
  latent.score_scale = static_cast<float>(static_cast<double>(latent.score_scale) * magnitude * magnitude);
}

Status read_latent_experts(const ConfigReader& config, const LatentExpertKeys& keys, DenseSpec& spec) {
  nn::MoeOptions moe = TRY(read_experts(config, spec.info.hidden_size, keys.experts));
  const std::int64_t dense = TRY(config.integer_or(keys.dense_layers, 0));
  const std::int64_t shared = TRY(config.integer_or(keys.shared, 0));
  constexpr std::int64_t kMostShared = 64;
  if (dense < 0 || dense >= spec.info.layers || shared < 0 || shared > kMostShared) {
    return Error{.what = "the layers without experts or the shared experts are out of range",
                 .where = config.fields().where(),
                 .found = std::to_string(dense) + " layers, " + std::to_string(shared) + " shared experts"};
  }
  moe.shared_ffn_size = shared * moe.ffn_size;
  moe.router.scale = static_cast<float>(TRY(config.number_or(keys.scale, 1)));
  spec.decoder.moe = moe;
  spec.decoder.dense_layers = static_cast<int>(dense);
  return {};
}

Status set_groups(const ConfigReader& config, std::int64_t groups, std::int64_t kept, nn::MoeOptions& moe) {
  const std::int64_t experts = moe.router.experts;
  if (groups < 1 || experts % groups != 0 || kept < 1 || kept > groups ||
      kept * (experts / groups) < moe.router.chosen) {
    return Error{
        .what = "the groups of experts are out of range",
        .where = config.fields().where(),
        .expected = "groups that divide " + std::to_string(experts) + " experts and leave enough of them",
        .found = std::to_string(groups) + " groups, " + std::to_string(kept) + " of them kept"};
  }
  moe.router.groups = static_cast<int>(groups);
  moe.router.groups_kept = static_cast<int>(kept);
  return {};
}

}  // namespace maestrale::models
