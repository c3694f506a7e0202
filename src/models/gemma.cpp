// Gemma 1, 2 and 3 (text). Norms multiply by 1 + w (Hugging Face files store w, GGUF files 1 + w), embeddings
// by √hidden. Gemma 2 caps scores and logits and norms each block's output too; from Gemma 2 on, local layers
// with a window alternate with global ones; Gemma 3 norms query and key heads and turns local layers by a
// base of their own. Sources: google/gemma_pytorch; arXiv 2403.08295, 2408.00118, 2503.19786; transformers'
// Gemma configurations.
#include <algorithm>
#include <array>
#include <cmath>

#include "models/dense.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 18> kUnderstood = {"hidden_act",
                                                          "hidden_activation",
                                                          "rope_theta",
                                                          "rope_scaling",
                                                          "rope_parameters",
                                                          "rope_local_base_freq",
                                                          "query_pre_attn_scalar",
                                                          "attn_logit_softcapping",
                                                          "sliding_window",
                                                          "final_logit_softcapping",
                                                          "sliding_window_pattern",
                                                          "_sliding_window_pattern",
                                                          "layer_types",
                                                          "cache_implementation",
                                                          "tie_word_embeddings",
                                                          "attention_bias",
                                                          "use_bidirectional_attention",
                                                          "mm_tokens_per_image"};

constexpr Key kScoreCap{"attn_logit_softcapping", "attn_logit_softcapping", {}};
constexpr Key kLogitCap{"final_logit_softcapping", "final_logit_softcapping", {}};
constexpr Key kQueryScalar{{}, "query_pre_attn_scalar", {}};
constexpr Key kPattern{"attention.sliding_window_pattern", "sliding_window_pattern", {}};

Result<int> generation_of(const files::Checkpoint& checkpoint) {
  const std::string architecture = TRY(published_architecture(checkpoint));
  if (architecture.find("emma2") != std::string::npos) return 2;
  return architecture.find("emma3") != std::string::npos ? 3 : 1;
}

// Gemma 3's multimodal files state only what differs from transformers' Gemma3TextConfig.
json::object gemma3_defaults() {
  return {{"hidden_size", 2304},
          {"intermediate_size", 9216},
          {"num_hidden_layers", 26},
          {"num_attention_heads", 8},
          {"num_key_value_heads", 4},
          {"head_dim", 256},
          {"max_position_embeddings", 131072},
          {"rms_norm_eps", 1e-6},
          {"query_pre_attn_scalar", 256},
          {"sliding_window", 4096}};
}

// "gelu" in the first files means the tanh form too, as the authors' code has always computed.
Status require_gelu(const ConfigReader& config) {
  for (const char* key : {"hidden_activation", "hidden_act"}) {
    if (config.dialect() != Dialect::kHuggingFace || !config.fields().has(key)) continue;
    if (TRY(config.fields().string(key)) != "gelu") TRY(config.require_string(key, "gelu_pytorch_tanh"));
  }
  return {};
}

// Which layers are local: stated one by one, by a period (the last of each period is global), or as
// published.
Result<std::vector<bool>> local_layers(const ConfigReader& config, int generation, std::size_t layers) {
  std::vector<bool> local(layers, false);
  if (generation == 1) return local;
  const JsonFields fields = config.fields();
  if (config.dialect() == Dialect::kHuggingFace && fields.has("layer_types")) {
    const json::array* types = TRY(fields.array("layer_types"));
    const auto known = [](const json::value& type) {
      return type == "full_attention" || type == "sliding_attention";
    };
    if (types->size() != layers || !std::all_of(types->begin(), types->end(), known)) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "field 'layer_types' is not understood",
                   .where = fields.where(),
                   .expected = "full_attention or sliding_attention for each of " + std::to_string(layers) +
                               " layers"};
    }
    for (std::size_t i = 0; i < layers; ++i) local[i] = (*types)[i] == "sliding_attention";
    return local;
  }
  constexpr Key kOtherPattern{{}, "_sliding_window_pattern", {}};
  const std::int64_t published = generation == 2 ? 2 : 6;
  const std::int64_t period = TRY(config.size_or(kPattern, TRY(config.size_or(kOtherPattern, published))));
  for (std::size_t i = 0; i < layers; ++i) local[i] = (static_cast<std::int64_t>(i) + 1) % period != 0;
  return local;
}

// GGUF files do not say the query scale. It is the head size, but for the two 27B models (46 and 62 layers),
// where it is hidden / heads.
Result<double> query_scalar(const ConfigReader& config, int generation, const ModelInfo& info) {
  if (config.has(kQueryScalar)) return config.positive(kQueryScalar);
  const bool large = (generation == 2 && info.layers == 46) || (generation == 3 && info.layers == 62);
  return static_cast<double>(config.dialect() == Dialect::kGguf && large ? info.hidden_size / info.heads
                                                                         : info.head_size);
}

// Gemma 3's local layers turn by a base of their own, without the global layers' scaling.
Result<nn::RopeOptions> local_rope(const ConfigReader& config, nn::RopeOptions rope) {
  constexpr double kPublished = 10000;
  const JsonFields fields = config.fields();
  const bool gguf = config.dialect() == Dialect::kGguf;
  rope.scaling = nn::RopeScaling::kNone;
  rope.base = TRY(
      fields.number_or(gguf ? config.gguf_key("rope.freq_base_swa") : "rope_local_base_freq", kPublished));
  if (gguf || !fields.has("rope_parameters")) return rope;
  const nn::RopeOptions stated = TRY(read_rope(config, rope.base, "sliding_attention"));
  rope.base = stated.base;
  rope.scaling = stated.scaling;
  rope.factor = stated.factor;
  return rope;
}

// Gemma 2's caps; GGUF files may leave them to the reader. Files of the others that state some are refused.
Result<float> soft_cap(const ConfigReader& config, int generation, const Key& key, double published) {
  if (generation == 2) {
    return static_cast<float>(config.dialect() == Dialect::kGguf ? TRY(config.positive_or(key, published))
                                                                 : TRY(config.positive(key)));
  }
  if (!config.has(key)) return 0.0f;
  return Error{
      .kind = ErrorKind::kUnsupported,
      .what = "setting '" + std::string(key.hugging_face) + "' is not supported for this architecture",
      .where = config.fields().where()};
}

Status set_attention(const ConfigReader& config, int generation, DenseSpec& spec) {
  const double scalar = TRY(query_scalar(config, generation, spec.info));
  const float cap = TRY(soft_cap(config, generation, kScoreCap, 50));
  const std::int64_t window = generation == 1 ? 0 : TRY(config.size(keys::kWindow));
  const std::vector<bool> local = TRY(local_layers(config, generation, spec.decoder.layers.size()));
  nn::RopeOptions rope = spec.decoder.layers.front().rope;
  if (generation == 3) rope = TRY(local_rope(config, rope));
  for (std::size_t i = 0; i < local.size(); ++i) {
    nn::AttentionBlockOptions& layer = spec.decoder.layers[i];
    layer.score_scale = static_cast<float>(1 / std::sqrt(scalar));
    layer.soft_cap = cap;
    layer.head_norm = generation == 3;
    if (!local[i]) continue;
    layer.window = window;
    layer.rope = rope;
  }
  return {};
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  ConfigReader config = TRY(ConfigReader::open(checkpoint));
  const int generation = TRY(generation_of(checkpoint));
  if (config.dialect() == Dialect::kHuggingFace && generation == 3 &&
      checkpoint.metadata.contains("text_config")) {
    config.set_defaults(gemma3_defaults());
  }
  TRY(require_gelu(config));
  TRY(config.require_false("attention_bias"));
  TRY(config.require_false("use_bidirectional_attention"));
  TRY(config.refuse_unknown(kUnderstood));
  DenseSpec spec = TRY(read_dense(config, "gemma",
                                  {.rope_base = generation == 3 ? 1e6 : 1e4,
                                   .gguf_pairing = ops::RopePairing::kHalf,
                                   .rope_layer_type = "full_attention"}));
  TRY(set_attention(config, generation, spec));
  spec.decoder.activation = ops::Activation::kGeluTanh;
  spec.decoder.post_norms = generation > 1;
  spec.decoder.norm_offset = config.dialect() == Dialect::kHuggingFace ? 1 : 0;
  spec.decoder.embedding_scale = std::sqrt(static_cast<float>(spec.info.hidden_size));
  spec.decoder.logit_soft_cap = TRY(soft_cap(config, generation, kLogitCap, 30));
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& gemma_entry() {
  static const ModelEntry entry = dense_entry<read>("gemma");
  return entry;
}

}  // namespace maestrale::models
