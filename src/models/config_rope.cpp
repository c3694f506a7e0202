// Rotary settings in each dialect's own words.
#include <optional>
#include <string>

#include "models/config.h"
#include "nn/loader.h"

namespace maestrale::models {
namespace {

using files::Dialect;
using nn::RopeOptions;
using nn::RopeScaling;

Error unknown_scaling(const JsonFields& fields, const std::string& type) {
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "rope scaling type '" + type + "' is not supported",
               .where = fields.where(),
               .expected = "default, linear, llama3 or yarn"};
}

// factor > 0 and finite, original context > 0: what the formulas divide by.
Status check_ranges(const RopeOptions& rope, const std::string& where) {
  const bool bad_factor = !(rope.factor > 0) || !(rope.factor < 1e6);
  const bool bad_base = !(rope.base > 1) || !(rope.base < 1e30);
  const bool needs_original = rope.scaling == RopeScaling::kLlama3 || rope.scaling == RopeScaling::kYarn;
  if (!bad_factor && !bad_base && (!needs_original || rope.original_context > 0) && rope.low_factor > 0 &&
      rope.high_factor > 0 && rope.beta_fast > 0 && rope.beta_slow > 0 && rope.magnitude > 0) {
    return {};
  }
  return Error{.what = "rope settings are out of range",
               .where = where,
               .expected = "base > 1 and finite, factor > 0, a positive original context, positive bounds"};
}

Status read_yarn(const JsonFields& fields, RopeOptions& rope) {
  rope.scaling = RopeScaling::kYarn;
  rope.original_context = TRY(fields.number("original_max_position_embeddings"));
  rope.beta_fast = TRY(fields.number_or("beta_fast", 32));
  rope.beta_slow = TRY(fields.number_or("beta_slow", 1));
  rope.truncate = TRY(fields.boolean_or("truncate", true));
  rope.magnitude = nn::yarn_magnitude(rope.factor, 1);
  if (fields.has("mscale") && fields.has("mscale_all_dim")) {
    rope.magnitude = nn::yarn_magnitude(rope.factor, TRY(fields.number("mscale"))) /
                     nn::yarn_magnitude(rope.factor, TRY(fields.number("mscale_all_dim")));
  }
  rope.magnitude = TRY(fields.number_or("attention_factor", rope.magnitude));
  return {};
}

Status read_scaling(const JsonFields& fields, RopeOptions& rope) {
  const std::string type = TRY(fields.string_or("rope_type", TRY(fields.string_or("type", "default"))));
  if (type == "default") return {};
  rope.factor = TRY(fields.number("factor"));
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::kLlama3;
    rope.low_factor = TRY(fields.number("low_freq_factor"));
    rope.high_factor = TRY(fields.number("high_freq_factor"));
    rope.original_context = TRY(fields.number("original_max_position_embeddings"));
  } else if (type == "yarn") {
    TRY(read_yarn(fields, rope));
  } else {
    return unknown_scaling(fields, type);
  }
  return {};
}

// Transformers 5 writes rope_parameters {rope_theta, rope_type, …}; before that rope_theta and rope_scaling.
// Models with two kinds of layers write rope_parameters {layer type: {…}}.
Status read_hugging_face(const JsonFields& fields, std::string_view layer_type, RopeOptions& rope) {
  rope.base = TRY(fields.number_or("rope_theta", rope.base));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!fields.has(key)) continue;
    const JsonFields outer(*TRY(fields.object(key)), fields.where() + " " + key);
    const bool by_type = !layer_type.empty() && outer.has(layer_type);
    const JsonFields inner(by_type ? *TRY(outer.object(layer_type)) : *TRY(fields.object(key)),
                           outer.where());
    rope.base = TRY(inner.number_or("rope_theta", rope.base));
    TRY(read_scaling(inner, rope));
  }
  return {};
}

Status read_mistral(const JsonFields& fields, RopeOptions& rope) {
  rope.base = TRY(fields.number_or("rope_theta", 1e6));
  if (!fields.has("yarn")) return {};
  const JsonFields yarn(*TRY(fields.object("yarn")), fields.where() + " yarn");
  rope.scaling = RopeScaling::kYarn;
  rope.factor = TRY(yarn.number("factor"));
  rope.original_context = TRY(yarn.number("original_max_position_embeddings"));
  rope.beta_fast = TRY(yarn.number_or("beta", 32));
  rope.beta_slow = TRY(yarn.number_or("alpha", 1));
  const bool apply_scale = TRY(yarn.boolean_or("apply_scale", true));
  rope.magnitude = apply_scale ? nn::yarn_magnitude(rope.factor, 1) : 1;
  return {};
}

// GGUF: yarn_log_multiplier = mscale_all_dim cancels the magnitude that ggml's rope applies by itself.
Status read_gguf(const ConfigReader& config, RopeOptions& rope) {
  const JsonFields fields = config.fields();
  const auto key = [&config](const char* name) { return config.gguf_key(std::string("rope.") + name); };
  rope.base = TRY(fields.number_or(key("freq_base"), rope.base));
  if (const TensorView* divisors = config.checkpoint().find("rope_freqs.weight"); divisors != nullptr) {
    rope.scaling = RopeScaling::kDivisors;
    return {};
  }
  const std::string type = TRY(fields.string_or(key("scaling.type"), "none"));
  if (type == "none") return {};
  rope.factor = TRY(fields.number(key("scaling.factor")));
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
    return {};
  }
  if (type != "yarn") return unknown_scaling(fields, type);
  rope.scaling = RopeScaling::kYarn;
  rope.original_context = TRY(fields.number(key("scaling.original_context_length")));
  rope.beta_fast = TRY(fields.number_or(key("scaling.yarn_beta_fast"), 32));
  rope.beta_slow = TRY(fields.number_or(key("scaling.yarn_beta_slow"), 1));
  const double log_multiplier = TRY(fields.number_or(key("scaling.yarn_log_multiplier"), 0));
  const double attention = TRY(fields.number_or(key("scaling.attn_factor"), 1));
  rope.magnitude =
      attention * nn::yarn_magnitude(rope.factor, 1) / nn::yarn_magnitude(rope.factor, log_multiplier);
  return {};
}

}  // namespace

Result<RopeOptions> read_rope(const ConfigReader& config, double default_base, std::string_view layer_type) {
  RopeOptions rope;
  rope.base = default_base;
  switch (config.dialect()) {
    case Dialect::kGguf:
      TRY(read_gguf(config, rope));
      break;
    case Dialect::kHuggingFace:
      TRY(read_hugging_face(config.fields(), layer_type, rope));
      break;
    case Dialect::kMistral:
      TRY(read_mistral(config.fields(), rope));
      break;
    case Dialect::kLlama2c:
      break;
  }
  TRY(check_ranges(rope, config.fields().where()));
  return rope;
}

Result<std::optional<nn::QueryTemperature>> read_temperature(const ConfigReader& config) {
  const JsonFields fields = config.fields();
  nn::QueryTemperature temperature;
  if (config.dialect() == Dialect::kGguf) {
    temperature.beta = TRY(fields.number_or(config.gguf_key("attention.temperature_scale"), 0));
    const double original = TRY(fields.number_or(config.gguf_key("rope.scaling.original_context_length"), 0));
    temperature.length = TRY(fields.number_or(config.gguf_key("attention.temperature_length"), original));
  } else if (config.dialect() == Dialect::kMistral && fields.has("llama_4_scaling")) {
    const JsonFields inner(*TRY(fields.object("llama_4_scaling")), fields.where() + " llama_4_scaling");
    temperature.beta = TRY(inner.number("beta"));
    temperature.length = TRY(inner.number("original_max_position_embeddings"));
  } else if (config.dialect() == Dialect::kHuggingFace && fields.has("rope_parameters")) {
    const JsonFields inner(*TRY(fields.object("rope_parameters")), fields.where() + " rope_parameters");
    temperature.beta = TRY(inner.number_or("llama_4_scaling_beta", 0));
    temperature.length = TRY(inner.number_or("original_max_position_embeddings", 0));
  }
  if (temperature.beta == 0) return std::optional<nn::QueryTemperature>();
  if (temperature.length > 0) return std::optional(temperature);
  return Error{.what = "the attention temperature has no original context length", .where = fields.where()};
}

}  // namespace maestrale::models
