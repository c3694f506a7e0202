// gpt-oss 20B and 120B: attention sinks and biases, a window of 128 on every other layer, YaRN without
// rounding, and experts in MXFP4 with a clamped SwiGLU. Sources: arXiv 2508.10925; openai/gpt-oss
// (torch/model.py). Its GGUF files carry neither YaRN's truncate nor the clamp nor which layers have the
// window: they are the family's.
#include <array>
#include <string>

#include "models/dense.h"
#include "models/experts.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 12> kUnderstood = {
    "hidden_act",        "rope_theta",        "rope_scaling",        "rope_parameters",
    "sliding_window",    "layer_types",       "swiglu_limit",        "attention_bias",
    "num_local_experts", "experts_per_token", "num_experts_per_tok", "quantization_config"};

constexpr double kClamp = 7;

Status check_quantisation(const ConfigReader& config) {
  const JsonFields fields = config.fields();
  if (config.dialect() != Dialect::kHuggingFace || !fields.has("quantization_config")) return {};
  const JsonFields inner(*TRY(fields.object("quantization_config")), fields.where() + " quantization_config");
  const std::string method = TRY(inner.string("quant_method"));
  if (method == "mxfp4") return {};
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "setting 'quant_method' is not supported",
               .where = inner.where(),
               .expected = "mxfp4",
               .found = method};
}

// Even layers have the window; config.json says so layer by layer.
Status set_windows(const ConfigReader& config, DenseSpec& spec) {
  const std::int64_t window = TRY(config.size(keys::kWindow));
  const JsonFields fields = config.fields();
  const json::array* types = nullptr;
  if (config.dialect() == Dialect::kHuggingFace && fields.has("layer_types")) {
    types = TRY(fields.array("layer_types"));
    if (types->size() != spec.decoder.layers.size()) {
      return Error{.what = "field 'layer_types' has the wrong length", .where = fields.where()};
    }
  }
  for (std::size_t i = 0; i < spec.decoder.layers.size(); ++i) {
    const json::value type =
        types != nullptr ? (*types)[i] : json::value(i % 2 == 0 ? "sliding_attention" : "full_attention");
    if (type != "sliding_attention" && type != "full_attention") {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "field 'layer_types' holds a type that is not supported",
                   .where = fields.where(),
                   .expected = "sliding_attention or full_attention"};
    }
    spec.decoder.layers[i].window = type == "sliding_attention" ? window : 0;
  }
  return {};
}

Result<nn::MoeOptions> read_moe(const ConfigReader& config, std::int64_t hidden_size) {
  const bool gguf = config.dialect() == Dialect::kGguf;
  nn::MoeOptions moe = TRY(
      read_experts(config, hidden_size, {.ffn = {"expert_feed_forward_length", "intermediate_size", {}}}));
  moe.router.renormalise = true;  // the softmax is taken over the chosen
  moe.router_bias = moe.expert_bias = true;
  moe.activation = ops::Activation::kClampedSwiglu;
  moe.clamp = static_cast<float>(gguf ? kClamp : TRY(config.fields().number_or("swiglu_limit", kClamp)));
  if (!(moe.clamp > 0)) {
    return Error{
        .what = "field 'swiglu_limit' is out of range", .where = config.fields().where(), .expected = "> 0"};
  }
  // MXFP4 blocks stand outputs first, unquantised experts inputs first.
  moe.fused = {.interleaved = true, .inputs_first = true};
  return moe;
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.refuse_unknown(kUnderstood));
  TRY(check_quantisation(config));
  DenseSpec spec =
      TRY(read_dense(config, "gptoss", {.rope_base = 150000, .gguf_pairing = ops::RopePairing::kHalf}));
  spec.decoder.moe = TRY(read_moe(config, spec.info.hidden_size));
  spec.info.ffn_size = spec.decoder.moe->ffn_size;
  for (nn::AttentionBlockOptions& layer : spec.decoder.layers) {
    layer.qkv_bias = layer.output_bias = layer.sinks = true;
    if (config.dialect() == Dialect::kGguf) layer.rope.truncate = false;
  }
  TRY(set_windows(config, spec));
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& gptoss_entry() {
  static const ModelEntry entry = dense_entry<read>("gptoss");
  return entry;
}

}  // namespace maestrale::models
