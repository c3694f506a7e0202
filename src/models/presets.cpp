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
#include "nn/names.h"

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
#include "models/presets.def"
#undef PRESET
};

json::object config_of(const Preset& preset) {
  json::object config;
  config["architectures"] = json::array{json::string(preset.architecture)};
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
  return config;
}

// A format is one type for all matrices, or a published mix: the head and half of attn_v and ffn_down better.
struct Mix {
  DType base{}, better{};
};

Result<Mix> mix_named(std::string_view name) {
  if (name == "q4_k_m") return Mix{DType::kQ4_K, DType::kQ6_K};
  if (name == "q5_k_m") return Mix{DType::kQ5_K, DType::kQ6_K};
  const std::optional<DType> dtype = dtype_from_name(name);
  if (dtype && (traits(*dtype).quantise != nullptr || *dtype == DType::kF32)) return Mix{*dtype, *dtype};
  return Error{.kind = ErrorKind::kUsage,
               .what = "format '" + std::string(name) + "' is not one that presets can be filled in",
               .expected = "a type that maestrale quantize writes, q4_k_m or q5_k_m"};
}

bool is_upgraded(const std::string& canonical, std::int64_t layer, std::int64_t layers) {
  if (canonical == "output") return true;
  if (!canonical.ends_with("attn_v") && !canonical.ends_with("ffn_down")) return false;
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

class Synthesis {
 public:
  Synthesis(const Preset& preset, Mix mix) : preset_(preset), mix_(mix) {}

  Status matrix(const std::string& canonical, std::int64_t layer, std::int64_t rows, std::int64_t columns) {
    DType dtype = is_upgraded(canonical, layer, preset_.layers) ? mix_.better : mix_.base;
    if (columns % traits(dtype).block_elements != 0) dtype = DType::kQ8_0;
    return add(canonical, "weight", dtype, {rows, columns});
  }
  Status vector(const std::string& canonical, std::int64_t n, const char* suffix = "weight") {
    return add(canonical, suffix, DType::kF32, {n});
  }
  Status layer(std::int64_t index) {
    const std::string prefix = "blk." + std::to_string(index) + ".";
    const std::int64_t q = preset_.heads * preset_.head_size;
    const std::int64_t kv = preset_.kv_heads * preset_.head_size;
    TRY(vector(prefix + "attn_norm", preset_.hidden));
    TRY(matrix(prefix + "attn_q", index, q, preset_.hidden));
    TRY(matrix(prefix + "attn_k", index, kv, preset_.hidden));
    TRY(matrix(prefix + "attn_v", index, kv, preset_.hidden));
    TRY(matrix(prefix + "attn_output", index, preset_.hidden, q));
    if (preset_.architecture == "Qwen2ForCausalLM") {
      TRY(vector(prefix + "attn_q", q, "bias"));
      TRY(vector(prefix + "attn_k", kv, "bias"));
      TRY(vector(prefix + "attn_v", kv, "bias"));
    }
    if (preset_.architecture == "Qwen3ForCausalLM") {
      TRY(vector(prefix + "attn_q_norm", preset_.head_size));
      TRY(vector(prefix + "attn_k_norm", preset_.head_size));
    }
    TRY(vector(prefix + "ffn_norm", preset_.hidden));
    TRY(matrix(prefix + "ffn_gate", index, preset_.ffn, preset_.hidden));
    TRY(matrix(prefix + "ffn_up", index, preset_.ffn, preset_.hidden));
    return matrix(prefix + "ffn_down", index, preset_.hidden, preset_.ffn);
  }
  std::vector<TensorView> tensors;

 private:
  Status add(const std::string& canonical, const char* suffix, DType dtype, std::vector<std::int64_t> shape) {
    TensorView tensor{
        .name = nn::published_names(files::Dialect::kHuggingFace, "model.", canonical, suffix).back(),
        .dtype = dtype,
        .shape = std::move(shape),
        .data = {}};
    const std::size_t bytes = TRY(storage_bytes(dtype, tensor.elements()));
    tensor.data = {static_cast<const std::byte*>(nullptr), bytes};
    tensors.push_back(std::move(tensor));
    return {};
  }
  const Preset& preset_;
  Mix mix_;
};

// A stretch of gaussian weights of a trained model's size, in `dtype`.
std::vector<std::byte> sample_blocks(DType dtype) {
  constexpr std::int64_t kValues = 1 << 16;
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
  const auto* preset = std::find_if(kPresets.begin(), kPresets.end(), [&](const Preset& p) { return p.name == name; });
  if (preset == kPresets.end()) {
    std::string names;
    for (const Preset& known : kPresets) names += (names.empty() ? "" : ", ") + std::string(known.name);
    return Error{.kind = ErrorKind::kUsage, .what = "no preset '" + std::string(name) + "'", .expected = names};
  }
  Synthesis synthesis(*preset, TRY(mix_named(format)));
  TRY(synthesis.matrix("token_embd", 0, preset->vocabulary, preset->hidden));
  for (std::int64_t layer = 0; layer < preset->layers; ++layer) TRY(synthesis.layer(layer));
  TRY(synthesis.vector("output_norm", preset->hidden));
  if (!preset->tied) TRY(synthesis.matrix("output", 0, preset->vocabulary, preset->hidden));
  files::Checkpoint checkpoint;
  checkpoint.dialect = files::Dialect::kHuggingFace;
  checkpoint.path = "preset " + std::string(name);
  checkpoint.metadata = config_of(*preset);
  checkpoint.tensors = std::move(synthesis.tensors);
  checkpoint.tokenizer_problem = "a preset has no tokenizer";
  if (with_data) TRY(fill(checkpoint));
  checkpoint.index_tensors();
  return checkpoint;
}

}  // namespace maestrale::models
