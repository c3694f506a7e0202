#include "files/model_facts.h"

namespace maestrale::files {
namespace {

struct Family {
  std::string_view model_type, architecture;
};

Family family_of(const ModelFacts& facts) {
  if (facts.architecture == "qwen2") return {"qwen2", "Qwen2ForCausalLM"};
  if (facts.architecture == "qwen3") return {"qwen3", "Qwen3ForCausalLM"};
  if (facts.architecture == "mistral3") return {"ministral3", "Ministral3ForCausalLM"};
  if (facts.sliding_window) return {"mistral", "MistralForCausalLM"};
  return {"llama", "LlamaForCausalLM"};
}

json::object rope_of(const ModelFacts& facts) {
  json::object rope;
  rope["factor"] = facts.scaling_factor;
  if (facts.scaling == RopeScaling::kLinear) {
    rope["rope_type"] = "linear";
    return rope;
  }
  rope["original_max_position_embeddings"] = facts.original_context;
  if (facts.scaling == RopeScaling::kLlama3) {
    rope["rope_type"] = "llama3";
    rope["low_freq_factor"] = facts.low_frequency;
    rope["high_freq_factor"] = facts.high_frequency;
    return rope;
  }
  rope["rope_type"] = "yarn";
  rope["rope_theta"] = facts.rope_base;
  rope["beta_fast"] = facts.beta_fast;
  rope["beta_slow"] = facts.beta_slow;
  if (facts.log_multiplier != 0) rope["mscale"] = rope["mscale_all_dim"] = facts.log_multiplier;
  if (facts.attention_factor) rope["attention_factor"] = *facts.attention_factor;
  if (facts.temperature_scale) rope["llama_4_scaling_beta"] = *facts.temperature_scale;
  return rope;
}

}  // namespace

Result<json::object> hugging_face_config(const ModelFacts& facts, std::string_view torch_dtype) {
  const Family family = family_of(facts);
  if (facts.temperature_scale && facts.scaling != RopeScaling::kYarn) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "an attention temperature without YaRN has no place in config.json",
                 .where = facts.name};
  }
  json::object config;
  config["architectures"] = json::array({json::value(family.architecture)});
  config["model_type"] = family.model_type;
  config["torch_dtype"] = torch_dtype;
  config["vocab_size"] = facts.vocabulary;
  config["hidden_size"] = facts.embedding;
  config["num_hidden_layers"] = facts.layers;
  config["num_attention_heads"] = facts.heads;
  config["num_key_value_heads"] = facts.kv_heads;
  config["head_dim"] = facts.head_size;
  config["intermediate_size"] = facts.feed_forward;
  config["hidden_act"] = "silu";
  config["max_position_embeddings"] = facts.context;
  config["rms_norm_eps"] = facts.norm_epsilon;
  config["rope_theta"] = facts.rope_base;
  config["tie_word_embeddings"] = facts.tied;
  if (facts.sliding_window) config["sliding_window"] = *facts.sliding_window;
  if (facts.scaling == RopeScaling::kNone) return config;
  config[facts.scaling == RopeScaling::kYarn ? "rope_parameters" : "rope_scaling"] = rope_of(facts);
  return config;
}

}  // namespace maestrale::files
