#include "models/preset_tensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "files/quant_mix.h"
#include "nn/names.h"
#include "tensor/dtype.h"

namespace maestrale::models {
namespace {

// A format is one type for all matrices, or one of the mixes that `maestrale quantize` writes (q4_k_m).
struct Format {
  DType only{};
  std::optional<files::QuantMix> mix;
};

Result<Format> format_named(std::string_view name) {
  if (name.ends_with("_s") || name.ends_with("_m") || name.ends_with("_l")) {
    const files::QuantMix mix = TRY(files::quant_mix(name));
    return Format{.only = {}, .mix = mix};
  }
  const std::optional<DType> dtype = dtype_from_name(name);
  if (dtype && (traits(*dtype).quantise != nullptr || *dtype == DType::kF32))
    return Format{.only = *dtype, .mix = {}};
  return Error{.kind = ErrorKind::kUsage,
               .what = "format '" + std::string(name) + "' is not one that presets can be filled in",
               .expected = "a type that maestrale quantize writes, such as q4_0 or q4_k_m"};
}

class Synthesis {
 public:
  Synthesis(const json::object& config, Format format)
      : config_(config),
        format_(format),
        layers_(number("num_hidden_layers")),
        hidden_(number("hidden_size")) {
    architecture_ = config.at("architectures").as_array().front().as_string();
  }

  Status run() {
    const std::int64_t vocabulary = number("vocab_size");
    TRY(matrix("token_embd", vocabulary, hidden_));
    for (std::int64_t layer = 0; layer < layers_; ++layer) TRY(decoder_layer(layer));
    for (std::int64_t more = 0; more < number("num_nextn_predict_layers"); ++more)
      TRY(further_layer(layers_ + more));
    TRY(vector("output_norm", hidden_));
    if (!config_.at("tie_word_embeddings").as_bool()) TRY(matrix("output", vocabulary, hidden_));
    return {};
  }
  std::vector<TensorView> tensors;

 private:
  bool has(std::string_view key) const { return config_.contains(key) && !config_.at(key).is_null(); }
  std::int64_t number(std::string_view key) const {
    return has(key) ? config_.at(key).to_number<std::int64_t>() : 0;
  }
  bool is(std::string_view family) const { return architecture_.starts_with(family); }
  bool has_post_norms() const { return is("Gemma2") || is("Gemma3") || is("Grok"); }
  std::int64_t experts() const {
    for (const char* key : {"n_routed_experts", "num_local_experts", "num_experts"}) {
      if (has(key)) return number(key);
    }
    return 0;
  }
  bool has_experts(std::int64_t layer) const {
    const std::int64_t step = std::max<std::int64_t>(number("interleave_moe_layer_step"), 1);
    return experts() > 0 && layer >= number("first_k_dense_replace") && (layer + 1) % step == 0;
  }
  std::int64_t expert_ffn() const {
    return number(has("moe_intermediate_size") ? "moe_intermediate_size" : "intermediate_size");
  }
  std::int64_t dense_ffn() const {
    return number(has("intermediate_size_mlp") ? "intermediate_size_mlp" : "intermediate_size");
  }
  std::int64_t shared_ffn() const {
    return is("Llama4") ? expert_ffn() : number("n_shared_experts") * expert_ffn();
  }

  Status decoder_layer(std::int64_t layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    TRY(vector(prefix + "attn_norm", hidden_));
    if (is("Mamba2")) return mixer(prefix);
    TRY(has("kv_lora_rank") ? latent_attention(prefix) : attention(prefix));
    TRY(vector(prefix + "ffn_norm", hidden_));
    if (!has_experts(layer) || has("residual_moe")) TRY(mlp(prefix, "", dense_ffn()));
    if (has_experts(layer)) TRY(mixture(prefix));
    if (!has_post_norms()) return {};
    TRY(vector(prefix + "post_attention_norm", hidden_));
    return vector(prefix + "post_ffw_norm", hidden_);
  }

  // DeepSeek V3's, which predicts a further token; the copies of embeddings and head are left out.
  Status further_layer(std::int64_t layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".nextn.";
    TRY(decoder_layer(layer));
    TRY(vector(prefix + "enorm", hidden_));
    TRY(vector(prefix + "hnorm", hidden_));
    TRY(matrix(prefix + "eh_proj", hidden_, 2 * hidden_));
    return vector(prefix + "shared_head_norm", hidden_);
  }

  Status attention(const std::string& prefix) {
    const std::int64_t q = number("num_attention_heads") * number("head_dim");
    const std::int64_t kv = number("num_key_value_heads") * number("head_dim");
    TRY(matrix(prefix + "attn_q", q, hidden_));
    TRY(matrix(prefix + "attn_k", kv, hidden_));
    TRY(matrix(prefix + "attn_v", kv, hidden_));
    TRY(matrix(prefix + "attn_output", hidden_, q));
    if (is("GptOss")) {
      TRY(vector(prefix + "attn_output", hidden_, "bias"));
      TRY(vector(prefix + "attn_sinks", number("num_attention_heads")));
    }
    if (is("Qwen2") || is("GptOss")) {
      TRY(vector(prefix + "attn_q", q, "bias"));
      TRY(vector(prefix + "attn_k", kv, "bias"));
      TRY(vector(prefix + "attn_v", kv, "bias"));
    }
    if (!is("Qwen3") && !is("Gemma3")) return {};
    TRY(vector(prefix + "attn_q_norm", number("head_dim")));
    return vector(prefix + "attn_k_norm", number("head_dim"));
  }

  Status latent_attention(const std::string& prefix) {
    const std::int64_t heads = number("num_attention_heads");
    const std::int64_t rank = number("q_lora_rank"), latent = number("kv_lora_rank");
    const std::int64_t plain = number("qk_nope_head_dim"), rotated = number("qk_rope_head_dim");
    const std::int64_t value = number("v_head_dim");
    if (rank > 0) {
      TRY(matrix(prefix + "attn_q_a", rank, hidden_));
      TRY(vector(prefix + "attn_q_a_norm", rank));
    }
    TRY(matrix(prefix + (rank > 0 ? "attn_q_b" : "attn_q"), heads * (plain + rotated),
               rank > 0 ? rank : hidden_));
    TRY(matrix(prefix + "attn_kv_a_mqa", latent + rotated, hidden_));
    TRY(vector(prefix + "attn_kv_a_norm", latent));
    TRY(matrix(prefix + "attn_kv_b", heads * (plain + value), latent));
    TRY(matrix(prefix + "attn_output", hidden_, heads * value));
    if (!has("index_topk")) return {};
    const std::int64_t index_size = number("index_head_dim");
    TRY(matrix(prefix + "indexer.attn_q_b", number("index_n_heads") * index_size, rank));
    TRY(matrix(prefix + "indexer.attn_k", index_size, hidden_));
    TRY(matrix(prefix + "indexer.proj", number("index_n_heads"), hidden_));
    TRY(vector(prefix + "indexer.k_norm", index_size));
    return vector(prefix + "indexer.k_norm", index_size, "bias");
  }

  Status mlp(const std::string& prefix, const std::string& suffix, std::int64_t ffn) {
    TRY(matrix(prefix + "ffn_gate" + suffix, ffn, hidden_));
    TRY(matrix(prefix + "ffn_up" + suffix, ffn, hidden_));
    return matrix(prefix + "ffn_down" + suffix, hidden_, ffn);
  }

  Status mixture(const std::string& prefix) {
    const std::int64_t ffn = expert_ffn();
    TRY(add(prefix + "ffn_gate_inp", "weight", DType::kF32, {experts(), hidden_}));
    if (has("topk_method") && config_.at("topk_method") == "noaux_tc")
      TRY(vector(prefix + "exp_probs_b", experts(), "bias"));
    for (std::int64_t expert = 0; expert < experts(); ++expert) {
      TRY(mlp(prefix, "." + std::to_string(expert), ffn));
    }
    if (shared_ffn() > 0) TRY(mlp(prefix, "_shexp", shared_ffn()));
    if (!is("GptOss")) return {};
    TRY(vector(prefix + "ffn_gate_inp", experts(), "bias"));
    TRY(add(prefix + "ffn_gate_up_fused", "bias", DType::kF32, {experts(), 2 * ffn}));
    return add(prefix + "ffn_down_fused", "bias", DType::kF32, {experts(), hidden_});
  }

  Status mixer(const std::string& prefix) {
    const std::int64_t heads = number("num_heads"), inner = heads * number("head_dim");
    const std::int64_t channels = inner + 2 * number("n_groups") * number("state_size");
    TRY(matrix(prefix + "ssm_in", inner + channels + heads, hidden_));
    TRY(add(prefix + "ssm_conv1d", "weight", DType::kF32, {channels, 1, number("conv_kernel")}));
    TRY(vector(prefix + "ssm_conv1d", channels, "bias"));
    TRY(vector(prefix + "ssm_dt", heads, "bias"));
    TRY(vector(prefix + "ssm_a", heads, ""));
    TRY(vector(prefix + "ssm_d", heads, ""));
    TRY(vector(prefix + "ssm_norm", inner));
    return matrix(prefix + "ssm_out", hidden_, inner);
  }

  Status matrix(const std::string& canonical, std::int64_t rows, std::int64_t columns) {
    return add(canonical, "weight", type_of(canonical, columns), {rows, columns});
  }

  DType type_of(const std::string& canonical, std::int64_t columns) const {
    if (!format_.mix) {
      return columns % traits(format_.only).block_elements == 0 ? format_.only : DType::kQ8_0;
    }
    const std::int64_t heads = number("num_attention_heads"), kv_heads = number("num_key_value_heads");
    const files::MixContext context{
        .layers = static_cast<int>(layers_),
        .queries_per_key = static_cast<int>(heads / std::max<std::int64_t>(kv_heads, 1)),
        .experts = static_cast<int>(experts()),
        .has_output = !config_.at("tie_word_embeddings").as_bool()};
    return files::mix_type(*format_.mix, canonical + ".weight", columns, context);
  }

  Status vector(const std::string& canonical, std::int64_t n, const char* suffix = "weight") {
    return add(canonical, suffix, DType::kF32, {n});
  }

  // Of several names the common one comes last, and before it that of Mamba, and Gemma's of the norm between;
  // Grok's norms come first.
  std::string published(const std::string& canonical, const char* suffix) const {
    const char* prefix = is("Mamba2") ? "backbone." : "model.";
    const std::vector<std::string> names =
        nn::published_names(files::Dialect::kHuggingFace, prefix, canonical, suffix);
    if (is("Grok") && canonical.starts_with("blk.") && canonical.ends_with("norm")) return names.front();
    const bool before_last = is("Mamba2") || (has_post_norms() && canonical.ends_with(".ffn_norm"));
    return names[names.size() - (before_last && names.size() > 1 ? 2 : 1)];
  }

  Status add(const std::string& canonical, const char* suffix, DType dtype, std::vector<std::int64_t> shape) {
    TensorView tensor{
        .name = published(canonical, suffix), .dtype = dtype, .shape = std::move(shape), .data = {}};
    const std::size_t bytes = TRY(storage_bytes(dtype, tensor.elements()));
    tensor.data = {static_cast<const std::byte*>(nullptr), bytes};
    tensors.push_back(std::move(tensor));
    return {};
  }

  const json::object& config_;
  Format format_;
  std::int64_t layers_ = 0, hidden_ = 0;
  std::string_view architecture_;
};

}  // namespace

Result<std::vector<TensorView>> preset_tensors(const json::object& config, std::string_view format) {
  Synthesis synthesis(config, TRY(format_named(format)));
  TRY(synthesis.run());
  return std::move(synthesis.tensors);
}

}  // namespace maestrale::models
