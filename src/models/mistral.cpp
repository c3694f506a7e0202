// Mistral 7B, Nemo, Ministral 8B, Small, Large 2, Codestral, and Ministral 3 (YaRN, attention temperature).
// Sources: arXiv 2310.06825; mistralai/mistral-inference; transformers' Ministral3 configuration.
#include <algorithm>
#include <array>
#include <vector>

#include "models/dense.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 11> kUnderstood = {
    "hidden_act",  "rope_theta", "rope_scaling", "rope_parameters", "sliding_window", "_sliding_window",
    "layer_types", "norm_eps",   "n_heads",      "n_kv_heads",      "llama_4_scaling"};

// One window for all layers, or one entry per layer (0: full), repeated over the layers.
Result<std::vector<std::int64_t>> read_windows(const ConfigReader& config) {
  const JsonFields fields = config.fields();
  const char* alternative = "_sliding_window";
  const json::value* value = config.find(keys::kWindow);
  if (value == nullptr && config.dialect() == Dialect::kMistral && fields.has(alternative)) {
    value = fields.find(alternative);
  }
  if (value == nullptr) return std::vector<std::int64_t>{0};
  const Error bad{.what = "field 'sliding_window' is not understood",
                  .where = fields.where(),
                  .expected = "a positive integer, or a list of them and null"};
  std::vector<std::int64_t> windows;
  const json::array single{*value};
  for (const json::value& entry : value->is_array() ? value->get_array() : single) {
    if (entry.is_null()) {
      windows.push_back(0);
    } else if (entry.is_int64() && entry.get_int64() > 0) {
      windows.push_back(entry.get_int64());
    } else {
      return bad;
    }
  }
  if (windows.empty()) return bad;
  return windows;
}

Status apply_windows(const ConfigReader& config, DenseSpec& spec) {
  const std::vector<std::int64_t> windows = TRY(read_windows(config));
  for (std::size_t i = 0; i < spec.decoder.layers.size(); ++i)
    spec.decoder.layers[i].window = windows[i % windows.size()];
  if (config.dialect() != Dialect::kHuggingFace || !config.fields().has("layer_types")) return {};
  const json::array* types = TRY(config.fields().array("layer_types"));
  if (types->size() != spec.decoder.layers.size()) {
    return Error{.what = "field 'layer_types' has the wrong length", .where = config.fields().where()};
  }
  for (std::size_t i = 0; i < types->size(); ++i) {
    const json::value& type = (*types)[i];
    if (type == "full_attention") {
      spec.decoder.layers[i].window = 0;
    } else if (type != "sliding_attention" || spec.decoder.layers[i].window == 0) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "field 'layer_types' holds a type that is not supported",
                   .where = config.fields().where(),
                   .expected = "full_attention, or sliding_attention with a window"};
    }
  }
  return {};
}

Result<DenseSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("hidden_act", "silu"));
  TRY(config.refuse_unknown(kUnderstood));
  DenseSpec spec = TRY(read_dense(config, "mistral", {}));
  TRY(apply_windows(config, spec));
  const std::optional<nn::QueryTemperature> temperature = TRY(read_temperature(config));
  for (nn::AttentionBlockOptions& layer : spec.decoder.layers) layer.temperature = temperature;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& mistral_entry() {
  static const ModelEntry entry = dense_entry<read>("mistral");
  return entry;
}

}  // namespace maestrale::models
