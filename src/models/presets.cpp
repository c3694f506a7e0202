#include "models/presets.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>
#include <string>
#include <utility>

#include "base/rng.h"
#include "models/preset_tensors.h"

namespace maestrale::models {
namespace {

struct Preset {
  std::string_view name, architecture;
  std::int64_t layers, hidden, heads, kv_heads, head_size, ffn, vocabulary;
  double rope_base;
  std::int64_t context;
  bool tied;
};

constexpr std::array kPresets = {
#define PRESET(...) Preset{__VA_ARGS__},
#define SETTINGS(name, settings)
#include "models/presets.def"
#undef SETTINGS
#undef PRESET
};

// Further settings of config.json, for those that have some.
struct Settings {
  std::string_view name, settings;
};

constexpr std::array kSettings = {
#define PRESET(...)
#define SETTINGS(name, settings) Settings{name, settings},
#include "models/presets.def"
#undef SETTINGS
#undef PRESET
};

// "Qwen2ForCausalLM" → "qwen2".
std::string model_type_of(std::string_view architecture) {
  std::string type(architecture.substr(0, architecture.find("For")));
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return type;
}

Result<json::object> config_of(const Preset& preset) {
  json::object config;
  config["architectures"] = json::array{json::string(preset.architecture)};
  config["model_type"] = model_type_of(preset.architecture);
  config["num_hidden_layers"] = preset.layers;
  config["hidden_size"] = preset.hidden;
  config["num_attention_heads"] = preset.heads;
  config["num_key_value_heads"] = preset.kv_heads;
  config["head_dim"] = preset.head_size;
  config["intermediate_size"] = preset.ffn;
  config["vocab_size"] = preset.vocabulary;
  config["rope_theta"] = preset.rope_base;
  config["max_position_embeddings"] = preset.context;
  config["rms_norm_eps"] = 1e-5;
  config["tie_word_embeddings"] = preset.tied;
  for (const Settings& row : kSettings) {
    if (row.name != preset.name) continue;
    const json::value settings = TRY(parse_json(row.settings, std::string(row.name)));
    for (const auto& [key, value] : settings.as_object()) config[key] = value;
  }
  return config;
}

// A stretch of gaussian weights of a trained model's size, in `dtype`.
std::vector<std::byte> sample_blocks(DType dtype) {
  // A prime number of blocks: rows of usual sizes do not repeat, so routers and embeddings tell tokens apart.
  constexpr std::int64_t kValues = 1021 * 256;
  constexpr double kSigma = 0.02;
  std::vector<float> values(kValues);
  for (std::int64_t i = 0; i < kValues; ++i) {
    const auto n = static_cast<std::uint64_t>(i);
    const double radius = std::sqrt(-2 * std::log(1 - uniform(1, 0, n)));
    values[static_cast<std::size_t>(i)] =
        static_cast<float>(kSigma * radius * std::cos(2 * std::numbers::pi * uniform(1, 1, n)));
  }
  const FormatTraits& format = traits(dtype);
  std::vector<std::byte> blocks(kValues / static_cast<std::size_t>(format.block_elements) *
                                static_cast<std::size_t>(format.block_bytes));
  if (dtype == DType::kF32) {
    std::memcpy(blocks.data(), values.data(), blocks.size());
  } else {
    format.quantise(values.data(), nullptr, blocks.data(), kValues);
  }
  return blocks;
}

// One buffer per type, as large as the largest tensor of it, filled with the sample over and over.
Status fill(files::Checkpoint& checkpoint) {
  std::map<DType, std::size_t> largest;
  for (const TensorView& tensor : checkpoint.tensors) {
    std::size_t& bytes = largest[tensor.dtype];
    bytes = std::max(bytes, tensor.data.size());
  }
  std::map<DType, const std::byte*> buffers;
  for (const auto& [dtype, bytes] : largest) {
    const std::vector<std::byte> sample = sample_blocks(dtype);
    HugeBuffer buffer = TRY(HugeBuffer::allocate(bytes));
    for (std::size_t at = 0; at < bytes; at += sample.size()) {
      std::memcpy(buffer.data() + at, sample.data(), std::min(sample.size(), bytes - at));
    }
    buffers[dtype] = buffer.data();
    checkpoint.buffers.push_back(std::move(buffer));
  }
  for (TensorView& tensor : checkpoint.tensors) tensor.data = {buffers[tensor.dtype], tensor.data.size()};
  return {};
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

Result<files::Checkpoint> preset_checkpoint(std::string_view name, std::string_view format, bool with_data) {
  const auto* preset =
      std::find_if(kPresets.begin(), kPresets.end(), [&](const Preset& p) { return p.name == name; });
  if (preset == kPresets.end()) {
    std::string names;
    for (const Preset& known : kPresets) names += (names.empty() ? "" : ", ") + std::string(known.name);
    return Error{
        .kind = ErrorKind::kUsage, .what = "no preset '" + std::string(name) + "'", .expected = names};
  }
  files::Checkpoint checkpoint;
  checkpoint.dialect = files::Dialect::kHuggingFace;
  checkpoint.path = "preset " + std::string(name);
  checkpoint.metadata = TRY(config_of(*preset));
  checkpoint.tensors = TRY(preset_tensors(checkpoint.metadata, format));
  checkpoint.tokenizer_problem = "a preset has no tokenizer";
  if (with_data) TRY(fill(checkpoint));
  checkpoint.index_tensors();
  return checkpoint;
}

}  // namespace maestrale::models
