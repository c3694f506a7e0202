#include <algorithm>
#include <array>
#include <string_view>

#include "files/facts_families.h"
#include "files/model_facts.h"

namespace maestrale::files {
namespace {

Error unsupported(std::string what, const std::string& where, std::string found) {
  return Error{
      .kind = ErrorKind::kUnsupported, .what = std::move(what), .where = where, .found = std::move(found)};
}

Status check_sizes(const ModelFacts& facts, const std::string& where) {
  constexpr std::int64_t kMax = std::int64_t{1} << 31;
  for (const auto& [name, value] : {std::pair("layers", facts.layers),
                                    {"embedding length", facts.embedding},
                                    {"feed-forward length", facts.feed_forward},
                                    {"heads", facts.heads},
                                    {"key-value heads", facts.kv_heads},
                                    {"head size", facts.head_size},
                                    {"context length", facts.context},
                                    {"vocabulary", facts.vocabulary}}) {
    if (value <= 0 || value >= kMax) {
      return Error{.what = "the number of " + std::string(name) + " is out of range",
                   .where = where,
                   .found = std::to_string(value)};
    }
  }
  if (facts.heads % facts.kv_heads == 0 && facts.head_size % 2 == 0) return {};
  return Error{.what = "heads, key-value heads and head size do not fit together", .where = where};
}

Status read_yarn(const JsonFields& rope, ModelFacts& facts) {
  facts.scaling = RopeScaling::kYarn;
  facts.original_context = TRY(rope.integer("original_max_position_embeddings"));
  facts.beta_fast = TRY(rope.number_or("beta_fast", 32));
  facts.beta_slow = TRY(rope.number_or("beta_slow", 1));
  facts.log_multiplier = TRY(rope.number_or("mscale_all_dim", 0));
  const double mscale = TRY(rope.number_or("mscale", facts.log_multiplier));
  if (mscale != facts.log_multiplier)
    return unsupported("mscale differs from mscale_all_dim", rope.where(), std::to_string(mscale));
  if (rope.has("attention_factor")) facts.attention_factor = TRY(rope.number("attention_factor"));
  if (rope.has("llama_4_scaling_beta")) facts.temperature_scale = TRY(rope.number("llama_4_scaling_beta"));
  const bool rounds = facts.architecture != "gpt-oss";  // GGUF leaves it to the family
  if (TRY(rope.boolean_or("truncate", true)) != rounds) {
    return unsupported("YaRN's rounding is not that of the family", rope.where(),
                       rounds ? "truncate = false" : "truncate = true");
  }
  return {};
}

Status read_rope(const JsonFields& rope, ModelFacts& facts) {
  facts.rope_base = TRY(rope.number_or("rope_theta", facts.rope_base));
  const std::string type = TRY(rope.string_or("rope_type", TRY(rope.string_or("type", "default"))));
  if (type == "default") return {};
  facts.scaling_factor = TRY(rope.number("factor"));
  if (type == "linear") {
    facts.scaling = RopeScaling::kLinear;
    return {};
  }
  if (type == "yarn") return read_yarn(rope, facts);
  if (type != "llama3") return unsupported("a rope scaling that is not supported", rope.where(), type);
  facts.scaling = RopeScaling::kLlama3;
  facts.original_context = TRY(rope.integer("original_max_position_embeddings"));
  facts.low_frequency = TRY(rope.number_or("low_freq_factor", 1));
  facts.high_frequency = TRY(rope.number_or("high_freq_factor", 4));
  return {};
}

struct ModelType {
  std::string_view hugging_face, gguf;  // the first without '_' and '-'
  FamilyReader further = nullptr;       // of mixtures and latent attention
};

constexpr std::array kModelTypes = {
    ModelType{"llama", "llama"},
    ModelType{"mistral", "llama"},
    ModelType{"qwen2", "qwen2"},
    ModelType{"qwen3", "qwen3"},
    ModelType{"ministral3", "mistral3"},
    ModelType{"mixtral", "llama", read_mixtral},
    ModelType{"qwen3moe", "qwen3moe", read_qwen3moe},
    ModelType{"gptoss", "gpt-oss", read_gptoss},
    ModelType{"llama4text", "llama4", read_llama4},
    ModelType{"llama4", "llama4", read_llama4},
    ModelType{"grok1", "grok", read_grok},
    ModelType{"deepseekv2", "deepseek2", read_deepseek2},
    ModelType{"deepseekv3", "deepseek2", read_deepseek3},
    ModelType{"deepseekv32", "deepseek32", read_deepseek3},
    ModelType{"mistral4", "mistral4", read_mistral4},
};

// Grok-2 calls its type "git"; its architecture says what it is.
std::string type_of(const json::object& outer, std::string type) {
  const json::value* list = outer.if_contains("architectures");
  const bool named = list != nullptr && list->is_array() && !list->get_array().empty() &&
                     list->get_array().front().is_string();
  if (named && std::string_view(list->get_array().front().get_string()).starts_with("Grok1")) return "grok1";
  std::erase_if(type, [](char c) { return c == '_' || c == '-'; });
  return type;
}

Result<ModelType> read_model_type(const json::object& outer, const JsonFields& config) {
  const std::string type = TRY(config.string("model_type"));
  const std::string plain = type_of(outer, type);
  for (const ModelType& row : kModelTypes) {
    if (row.hugging_face == plain) return row;
  }
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "conversion of this kind of model is not supported",
               .where = config.where(),
               .expected =
                   "llama, mistral, ministral3, mixtral, mistral4, qwen2, qwen3, qwen3_moe, gpt_oss, "
                   "llama4, grok or deepseek_v2, _v3, _v32",
               .found = type};
}

// FP8 codes are read with their scales, MXFP4 blocks as they are.
Status check_quantisation(const JsonFields& config, const ModelFacts& facts) {
  if (!config.has("quantization_config")) return {};
  const JsonFields inner(*TRY(config.object("quantization_config")),
                         config.where() + ", quantization_config");
  const std::string method = TRY(inner.string("quant_method"));
  if (method == "fp8" || (method == "mxfp4" && facts.architecture == "gpt-oss")) return {};
  return unsupported("weights of this quantiser are not supported", inner.where(), method);
}

// What would change the arithmetic and has no place in the facts.
Status refuse_variants(const JsonFields& config, const ModelType& type, const ModelFacts& facts) {
  const std::string activation = TRY(config.string_or("hidden_act", "silu"));
  const bool usual = activation == "silu" || (type.gguf == "grok" && activation == "gelu");
  if (!usual) return unsupported("this activation is not supported", config.where(), activation);
  for (const char* flag : {"mlp_bias", "use_sliding_window", "attn_output_gate"}) {
    if (TRY(config.boolean_or(flag, false)))
      return unsupported("this option is not supported", config.where(), flag);
  }
  for (const char* key : {"num_local_experts", "num_experts", "n_routed_experts", "kv_lora_rank"}) {
    if (type.further == nullptr && config.has(key))
      return unsupported("this option is not supported", config.where(), key);
  }
  TRY(check_quantisation(config, facts));
  if (TRY(config.number_or("partial_rotary_factor", 1)) != 1) {
    return unsupported("this option is not supported", config.where(), "partial_rotary_factor");
  }
  return {};
}

Status read_window(const JsonFields& config, ModelFacts& facts) {
  // Qwen's window counts only with use_sliding_window; gpt-oss and Llama 4 have layers of two kinds, which
  // their readers look at.
  const bool of_qwen = facts.architecture.starts_with("qwen");
  if (facts.architecture == "gpt-oss" || facts.architecture == "llama4") return {};
  if (!of_qwen && config.has("sliding_window")) facts.sliding_window = TRY(config.integer("sliding_window"));
  if (!config.has("layer_types") || of_qwen) return {};
  std::size_t sliding = 0;
  const json::array& types = *TRY(config.array("layer_types"));
  for (const json::value& type : types)
    sliding += type.is_string() && type.get_string() == "sliding_attention" ? 1 : 0;
  if (sliding != 0 && sliding != types.size()) {
    return unsupported("layers with and without a window in one model", config.where(), "layer_types");
  }
  if (sliding == 0) facts.sliding_window.reset();
  return {};
}

// FP8 codes with a scale for each tensor, or Mistral's name for them.
Status check_mistral_quantisation(const JsonFields& params) {
  if (!params.has("quantization")) return {};
  const JsonFields inner(*TRY(params.object("quantization")), params.where() + ", quantization");
  const std::string format = TRY(inner.string_or("qformat_weight", TRY(inner.string_or("quant_method", ""))));
  if (format == "fp8_e4m3" || format == "fp8" || format == "compressed-tensors") return {};
  return unsupported("weights of this quantiser are not supported", inner.where(), format);
}

Status read_mistral_variants(const JsonFields& params, ModelFacts& facts) {
  if (params.has("n_groups")) return unsupported("this option is not supported", params.where(), "n_groups");
  if (params.has("kv_lora_rank") && !params.has("moe"))
    return unsupported("latent attention without experts is not supported", params.where(), "kv_lora_rank");
  TRY(check_mistral_quantisation(params));
  if (params.has("sliding_window")) {
    const json::value& window = *params.find("sliding_window");
    if (!window.is_int64())
      return unsupported("a window that differs between layers", params.where(), "sliding_window");
    facts.sliding_window = window.get_int64();
  }
  if (params.has("llama_4_scaling")) {
    const JsonFields scaling(*TRY(params.object("llama_4_scaling")), params.where() + ", llama_4_scaling");
    facts.temperature_scale = TRY(scaling.number("beta"));
  }
  if (!params.has("yarn")) return {};
  const JsonFields yarn(*TRY(params.object("yarn")), params.where() + ", yarn");
  facts.scaling = RopeScaling::kYarn;
  facts.scaling_factor = TRY(yarn.number("factor"));
  facts.original_context = TRY(yarn.integer("original_max_position_embeddings"));
  facts.beta_fast = TRY(yarn.number_or("beta", 32));
  facts.beta_slow = TRY(yarn.number_or("alpha", 1));
  // YaRN's magnitude is on queries and keys unless 1 cancels it; with latent attention 1 puts it on the
  // scores.
  const bool applies = TRY(yarn.boolean_or("apply_scale", true));
  facts.log_multiplier = applies == params.has("kv_lora_rank") ? 1 : 0;
  return {};
}

}  // namespace

Result<ModelFacts> facts_from_hugging_face(const json::object& outer, const std::string& where) {
  const json::value* inner = outer.if_contains("text_config");
  const JsonFields config(inner != nullptr && inner->is_object() ? inner->get_object() : outer, where);
  ModelFacts facts;
  const ModelType type = TRY(read_model_type(outer, config));
  facts.architecture = type.gguf;
  TRY(refuse_variants(config, type, facts));
  facts.layers = TRY(config.integer("num_hidden_layers"));
  facts.embedding = TRY(config.integer("hidden_size"));
  facts.feed_forward = TRY(config.integer("intermediate_size"));
  facts.heads = TRY(config.integer("num_attention_heads"));
  facts.kv_heads = TRY(config.integer_or("num_key_value_heads", facts.heads));
  facts.head_size =
      TRY(config.integer_or("head_dim", facts.embedding / std::max<std::int64_t>(facts.heads, 1)));
  facts.context = TRY(config.integer("max_position_embeddings"));
  facts.vocabulary = TRY(config.integer("vocab_size"));
  facts.norm_epsilon = TRY(config.number("rms_norm_eps"));
  facts.rope_base = TRY(config.number_or("rope_theta", 1e4));
  facts.tied = TRY(config.boolean_or("tie_word_embeddings",
                                     TRY(JsonFields(outer, where).boolean_or("tie_word_embeddings", false))));
  TRY(read_window(config, facts));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (config.has(key)) TRY(read_rope(JsonFields(*TRY(config.object(key)), where + ", " + key), facts));
  }
  if (type.further != nullptr) TRY(type.further(config, facts));
  TRY(check_sizes(facts, where));
  return facts;
}

Result<ModelFacts> facts_from_mistral(const json::object& object, const std::string& where) {
  const JsonFields params(object, where);
  ModelFacts facts;
  facts.layers = TRY(params.integer("n_layers"));
  facts.embedding = TRY(params.integer("dim"));
  facts.feed_forward = TRY(params.integer("hidden_dim"));
  facts.heads = TRY(params.integer("n_heads"));
  facts.kv_heads = TRY(params.integer_or("n_kv_heads", facts.heads));
  facts.head_size =
      TRY(params.integer_or("head_dim", facts.embedding / std::max<std::int64_t>(facts.heads, 1)));
  facts.context =
      TRY(params.integer_or("max_position_embeddings", TRY(params.integer_or("max_seq_len", 32768))));
  facts.vocabulary = TRY(params.integer("vocab_size"));
  facts.norm_epsilon = TRY(params.number("norm_eps"));
  facts.rope_base = TRY(params.number_or("rope_theta", 1e6));
  facts.tied = TRY(params.boolean_or("tied_embeddings", false));
  TRY(read_mistral_variants(params, facts));
  facts.architecture = facts.temperature_scale || facts.scaling == RopeScaling::kYarn ? "mistral3" : "llama";
  if (params.has("moe")) TRY(read_mistral_mixture(params, facts));
  TRY(check_sizes(facts, where));
  return facts;
}

Result<ModelFacts> facts_from_llama2c(const json::object& object, const std::string& where) {
  const JsonFields header(object, where);
  ModelFacts facts;
  facts.architecture = "llama";
  facts.layers = TRY(header.integer("n_layers"));
  facts.embedding = TRY(header.integer("dim"));
  facts.feed_forward = TRY(header.integer("hidden_dim"));
  facts.heads = TRY(header.integer("n_heads"));
  facts.kv_heads = TRY(header.integer("n_kv_heads"));
  facts.head_size = facts.embedding / std::max<std::int64_t>(facts.heads, 1);
  facts.context = TRY(header.integer("seq_len"));
  facts.vocabulary = TRY(header.integer("vocab_size"));
  facts.tied = TRY(header.boolean_or("shared_classifier", true));
  TRY(check_sizes(facts, where));
  return facts;
}

Result<ModelFacts> read_facts(const Checkpoint& checkpoint) {
  const std::string where = checkpoint.path.string();
  ModelFacts facts;
  switch (checkpoint.dialect) {
    case Dialect::kGguf:
      facts = TRY(facts_from_gguf(checkpoint, where));
      break;
    case Dialect::kHuggingFace:
      facts = TRY(facts_from_hugging_face(checkpoint.metadata, where + ", config.json"));
      break;
    case Dialect::kMistral:
      facts = TRY(facts_from_mistral(checkpoint.metadata, where + ", params.json"));
      break;
    case Dialect::kLlama2c:
      facts = TRY(facts_from_llama2c(checkpoint.metadata, where));
      break;
  }
  if (facts.name.empty()) {
    const auto stem = checkpoint.path.has_filename() ? checkpoint.path : checkpoint.path.parent_path();
    facts.name = (checkpoint.dialect == Dialect::kLlama2c ? stem.stem() : stem.filename()).string();
  }
  return facts;
}

}  // namespace maestrale::files
