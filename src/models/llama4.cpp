// Llama 4 Scout and Maverick (text). Three of four layers rotate, see only their own chunk of positions and,
// in Scout, norm query and key heads after the rotation; the fourth does neither and warms its queries up
// with the position (iRoPE). A token takes one expert, whose input the router's sigmoid weighs, and a shared
// one; Maverick has experts on every other layer. Sources: meta-llama/llama-models (llama4); transformers'
// Llama4TextConfig.
#include <array>
#include <string>

#include "models/dense.h"
#include "models/experts.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 22> kUnderstood = {"hidden_act",
                                                          "rope_theta",
                                                          "rope_scaling",
                                                          "rope_parameters",
                                                          "num_local_experts",
                                                          "num_experts_per_tok",
                                                          "use_qk_norm",
                                                          "attention_chunk_size",
                                                          "floor_scale",
                                                          "attn_scale",
                                                          "attn_temperature_tuning",
                                                          "no_rope_layers",
                                                          "no_rope_layer_interval",
                                                          "moe_layers",
                                                          "interleave_moe_layer_step",
                                                          "layer_types",
                                                          "router_jitter_noise",
                                                          "intermediate_size_mlp",
                                                          "for_llm_compressor",
                                                          "attention_bias",
                                                          "output_router_logits",
                                                          "router_aux_loss_coef"};

// GGUF files carry none of these; they are the family's.
constexpr std::int64_t kChunk = 8192;
constexpr double kTemperatureLength = 8192, kTemperatureScale = 0.1;
constexpr std::int64_t kUnrotatedEvery = 4;

Error unsupported(const JsonFields& fields, const char* key, const char* expected) {
  return {.kind = ErrorKind::kUnsupported,
          .what = "setting '" + std::string(key) + "' is not supported",
          .where = fields.where(),
          .expected = expected};
}

// Which layers rotate: a list of 1 and 0, or all but every fourth.
Result<std::vector<bool>> rotated_layers(const ConfigReader& config, std::size_t layers) {
  const JsonFields fields = config.fields();
  const bool hugging_face = config.dialect() == Dialect::kHuggingFace;
  const std::int64_t every =
      hugging_face ? TRY(fields.integer_or("no_rope_layer_interval", kUnrotatedEvery)) : kUnrotatedEvery;
  if (every < 1) return unsupported(fields, "no_rope_layer_interval", "a positive number");
  std::vector<bool> rotated(layers);
  for (std::size_t i = 0; i < layers; ++i) rotated[i] = (static_cast<std::int64_t>(i) + 1) % every != 0;
  if (!hugging_face || !fields.has("no_rope_layers")) return rotated;
  const json::array* list = TRY(fields.array("no_rope_layers"));
  if (list->empty()) return rotated;
  if (list->size() != layers) return unsupported(fields, "no_rope_layers", "one number for each layer");
  for (std::size_t i = 0; i < layers; ++i) {
    if ((*list)[i] != 0 && (*list)[i] != 1)
      return unsupported(fields, "no_rope_layers", "1 (rotated) or 0 for each layer");
    rotated[i] = (*list)[i] == 1;
  }
  return rotated;
}

// Newer files say it a second time, as the type of each layer.
Status check_layer_types(const ConfigReader& config, const std::vector<bool>& rotated) {
  const JsonFields fields = config.fields();
  if (config.dialect() != Dialect::kHuggingFace || !fields.has("layer_types")) return {};
  const json::array* types = TRY(fields.array("layer_types"));
  bool agree = types->size() == rotated.size();
  for (std::size_t i = 0; agree && i < rotated.size(); ++i) {
    agree = (*types)[i] == (rotated[i] ? "chunked_attention" : "full_attention");
  }
  if (agree) return {};
  return unsupported(fields, "layer_types",
                     "chunked_attention where no_rope_layers is 1, full_attention elsewhere");
}

struct Attention {
  std::int64_t chunk = kChunk;
  bool head_norm = false;
  std::optional<nn::QueryTemperature> temperature;
};

Result<Attention> read_attention(const ConfigReader& config, int experts) {
  const JsonFields fields = config.fields();
  Attention attention;
  nn::QueryTemperature temperature{.beta = kTemperatureScale, .length = kTemperatureLength, .offset = 1};
  if (config.dialect() == Dialect::kGguf) {
    constexpr int kMaverickExperts = 128;  // its files do not say that it has no head norms
    attention.chunk = TRY(fields.integer_or(config.gguf_key("attention.chunk_size"), kChunk));
    attention.head_norm = experts != kMaverickExperts;
    attention.temperature = temperature;
    return attention;
  }
  attention.chunk = fields.has("attention_chunk_size") ? TRY(fields.integer("attention_chunk_size")) : 0;
  attention.head_norm = TRY(fields.boolean_or("use_qk_norm", true));
  temperature.beta = TRY(fields.number_or("attn_scale", kTemperatureScale));
  temperature.length = TRY(fields.number_or("floor_scale", kTemperatureLength));
  if (attention.chunk < 0 || !(temperature.length > 0)) {
    return Error{.what = "attention_chunk_size or floor_scale is out of range",
                 .where = fields.where(),
                 .expected = "> 0"};
  }
  const json::value* tuning = fields.find("attn_temperature_tuning");  // true, or a number in the first files
  const bool off = tuning != nullptr && (*tuning == false || *tuning == 0);
  if (!off) attention.temperature = temperature;
  return attention;
}

Status set_layers(const ConfigReader& config, DenseSpec& spec) {
  const Attention attention = TRY(read_attention(config, spec.decoder.moe->router.experts));
  const std::vector<bool> rotated = TRY(rotated_layers(config, spec.decoder.layers.size()));
  TRY(check_layer_types(config, rotated));
  for (std::size_t i = 0; i < rotated.size(); ++i) {
    nn::AttentionBlockOptions& layer = spec.decoder.layers[i];
    layer.rope.pairing = ops::RopePairing::kInterleaved;  // in Hugging Face files too
    layer.pairs_everywhere = true;
    layer.rotated = rotated[i];
    layer.rotated_norm = rotated[i] && attention.head_norm;
    layer.chunk = rotated[i] ? attention.chunk : 0;
    if (!rotated[i]) layer.temperature = attention.temperature;
  }
  return {};
}

Status set_experts(const ConfigReader& config, DenseSpec& spec) {
  const JsonFields fields = config.fields();
  nn::MoeOptions moe = TRY(read_experts(config, spec.info.hidden_size,
                                        {.ffn = {"expert_feed_forward_length", "intermediate_size", {}}}));
  moe.router.score = ops::RouterScore::kSigmoid;
  moe.weigh_input = true;
  moe.shared_ffn_size = moe.ffn_size;
  moe.fused = {.interleaved = false, .inputs_first = true};
  constexpr Key kDense{"feed_forward_length", "intermediate_size_mlp", {}};
  constexpr Key kStep{"interleave_moe_layer_step", "interleave_moe_layer_step", {}};
  spec.decoder.ffn_size = TRY(config.size(kDense));
  spec.decoder.moe_step = static_cast<int>(TRY(config.size_or(kStep, 1)));
  spec.decoder.moe = moe;
  spec.info.ffn_size = moe.ffn_size;
  if (config.dialect() != Dialect::kHuggingFace || !fields.has("moe_layers")) return {};
  const json::array* listed = TRY(fields.array("moe_layers"));
  json::array expected;
  for (int i = 0; i < static_cast<int>(spec.decoder.layers.size()); ++i) {
    if (spec.decoder.has_moe(i)) expected.push_back(i);
  }
  if (listed->empty() || *listed == expected) return {};
  return unsupported(fields, "moe_layers", "the layers that interleave_moe_layer_step names");
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.require_false("attention_bias"));
  TRY(config.refuse_unknown(kUnderstood));
  DenseSpec spec = TRY(read_dense(config, "llama4", {.rope_base = 500000}));
  TRY(set_experts(config, spec));
  TRY(set_layers(config, spec));
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& llama4_entry() {
  static const ModelEntry entry = dense_entry<read>("llama4");
  return entry;
}

}  // namespace maestrale::models
