#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numbers>

#include "files/model_facts.h"

namespace maestrale::files {
namespace {

constexpr std::int64_t kLargestContext = std::int64_t{1} << 24;

std::vector<float> floats_of(const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  traits(tensor.dtype).dequantise(tensor.data.data(), values.data(), tensor.elements());
  return values;
}

bool same_divisors(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return std::abs(x - y) <= 1e-4f * std::abs(y); });
}

// GGUF keeps Llama 3's scaling as divisors alone; the published models differ in factor and original length.
Status read_divisors(const TensorView& tensor, const std::string& where, ModelFacts& facts) {
  const Error unknown{.kind = ErrorKind::kUnsupported,
                      .what = "rope_freqs.weight holds no scaling of Llama 3's kind",
                      .where = where,
                      .hint = "start from the Hugging Face or Mistral files"};
  if (tensor.dtype != DType::kF32 || tensor.elements() != facts.head_size / 2) return unknown;
  const std::vector<float> found = floats_of(tensor);
  facts.scaling = RopeScaling::kLlama3;
  facts.scaling_factor = static_cast<double>(*std::max_element(found.begin(), found.end()));
  for (const double high : {4.0, 1.0}) {
    facts.high_frequency = high;
    for (facts.original_context = 16; facts.original_context <= kLargestContext;
         facts.original_context *= 2) {
      if (facts.original_context >= 64 && same_divisors(llama3_divisors(facts), found)) return {};
    }
  }
  return unknown;
}

Status read_scaling(const JsonFields& keys, const std::string& prefix, ModelFacts& facts) {
  const std::string type = TRY(keys.string_or(prefix + "rope.scaling.type", "none"));
  if (type == "none") return {};
  facts.scaling_factor = TRY(keys.number(prefix + "rope.scaling.factor"));
  if (type == "linear") {
    facts.scaling = RopeScaling::kLinear;
    return {};
  }
  if (type != "yarn") {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this rope scaling is not supported",
                 .where = keys.where(),
                 .found = type};
  }
  facts.scaling = RopeScaling::kYarn;
  facts.original_context = TRY(keys.integer(prefix + "rope.scaling.original_context_length"));
  facts.beta_fast = TRY(keys.number_or(prefix + "rope.scaling.yarn_beta_fast", 32));
  facts.beta_slow = TRY(keys.number_or(prefix + "rope.scaling.yarn_beta_slow", 1));
  facts.log_multiplier = TRY(keys.number_or(prefix + "rope.scaling.yarn_log_multiplier", 0));
  return {};
}

Status read_sizes(const JsonFields& keys, const std::string& prefix, ModelFacts& facts) {
  facts.layers = TRY(keys.integer(prefix + "block_count"));
  facts.embedding = TRY(keys.integer(prefix + "embedding_length"));
  facts.feed_forward = TRY(keys.integer(prefix + "feed_forward_length"));
  facts.heads = TRY(keys.integer(prefix + "attention.head_count"));
  facts.kv_heads = TRY(keys.integer_or(prefix + "attention.head_count_kv", facts.heads));
  if (facts.heads <= 0 || facts.kv_heads <= 0)
    return Error{.what = "a model without heads", .where = keys.where()};
  facts.head_size = TRY(keys.integer_or(prefix + "attention.key_length", facts.embedding / facts.heads));
  facts.context = TRY(keys.integer(prefix + "context_length"));
  return {};
}

// Config files say 1e-05; GGUF holds the nearest f32. Seven digits give the published number back.
double shortest(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.7g", value);
  return std::strtod(text, nullptr);
}

// DeepSeek's files hold a tenth of mscale_all_dim, for historical reasons.
double written_log_multiplier(const ModelFacts& facts) {
  return facts.architecture.starts_with("deepseek") ? 0.1 * facts.log_multiplier : facts.log_multiplier;
}

}  // namespace

std::vector<float> llama3_divisors(const ModelFacts& facts) {
  std::vector<float> divisors;
  const auto original = static_cast<double>(facts.original_context);
  for (std::int64_t i = 0; i < facts.head_size / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(facts.head_size);
    const double wavelength = 2 * std::numbers::pi * std::pow(facts.rope_base, exponent);
    double divisor = facts.scaling_factor;
    if (wavelength < original / facts.high_frequency) {
      divisor = 1;
    } else if (wavelength <= original / facts.low_frequency && facts.high_frequency != facts.low_frequency) {
      const double smooth =
          (original / wavelength - facts.low_frequency) / (facts.high_frequency - facts.low_frequency);
      divisor = 1 / ((1 - smooth) / facts.scaling_factor + smooth);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

Result<ModelFacts> facts_from_gguf(const Checkpoint& checkpoint, const std::string& where) {
  const JsonFields keys(checkpoint.metadata, where);
  ModelFacts facts;
  facts.architecture = TRY(keys.string("general.architecture"));
  facts.name = TRY(keys.string_or("general.name", ""));
  const std::string prefix = facts.architecture + ".";
  if (facts.architecture != "llama" && facts.architecture != "mistral3" &&
      !(facts.architecture == "qwen2" || facts.architecture == "qwen3")) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "conversion of this architecture is not supported",
                 .where = where,
                 .expected = "llama, mistral3, qwen2 or qwen3",
                 .found = facts.architecture};
  }
  if (keys.has(prefix + "expert_count") && TRY(keys.integer(prefix + "expert_count")) != 0) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "conversion of mixtures of experts is not supported",
                 .where = where};
  }
  TRY(read_sizes(keys, prefix, facts));
  const TensorView* embedding = checkpoint.find("token_embd.weight");
  facts.vocabulary = embedding != nullptr ? embedding->rows() : TRY(keys.integer(prefix + "vocab_size"));
  facts.norm_epsilon = shortest(TRY(keys.number(prefix + "attention.layer_norm_rms_epsilon")));
  facts.rope_base = TRY(keys.number_or(prefix + "rope.freq_base", 1e4));
  facts.tied = checkpoint.find("output.weight") == nullptr;
  if (keys.has(prefix + "attention.sliding_window")) {
    facts.sliding_window = TRY(keys.integer(prefix + "attention.sliding_window"));
  }
  if (keys.has(prefix + "attention.temperature_scale")) {
    facts.temperature_scale = shortest(TRY(keys.number(prefix + "attention.temperature_scale")));
  }
  TRY(read_scaling(keys, prefix, facts));
  const TensorView* divisors = checkpoint.find("rope_freqs.weight");
  if (divisors != nullptr) TRY(read_divisors(*divisors, where, facts));
  return facts;
}

void add_gguf_keys(const ModelFacts& facts, GgufKeys& keys) {
  const std::string prefix = facts.architecture + ".";
  const auto integer = [&](const char* name, std::int64_t value) {
    keys.add(prefix + name, static_cast<std::uint32_t>(value));
  };
  const auto number = [&](const char* name, double value) {
    keys.add(prefix + name, static_cast<float>(value));
  };
  keys.add("general.architecture", facts.architecture);
  keys.add("general.type", "model");
  keys.add("general.name", facts.name);
  integer("block_count", facts.layers);
  integer("context_length", facts.context);
  integer("embedding_length", facts.embedding);
  integer("feed_forward_length", facts.feed_forward);
  integer("attention.head_count", facts.heads);
  integer("attention.head_count_kv", facts.kv_heads);
  // With latent attention the row of the cache stands here, and the heads' sizes among the further keys.
  const LatentFacts latent = facts.latent.value_or(LatentFacts{});
  integer("attention.key_length", facts.latent ? latent.latent + latent.rotated : facts.head_size);
  integer("attention.value_length", facts.latent ? latent.latent : facts.head_size);
  integer("rope.dimension_count", facts.latent ? latent.rotated : facts.head_size);
  integer("vocab_size", facts.vocabulary);
  number("rope.freq_base", facts.rope_base);
  number("attention.layer_norm_rms_epsilon", facts.norm_epsilon);
  if (facts.sliding_window) integer("attention.sliding_window", *facts.sliding_window);
  if (facts.temperature_scale) number("attention.temperature_scale", *facts.temperature_scale);
  for (const auto& [name, value] : facts.further) {
    if (const auto* whole = std::get_if<std::int64_t>(&value)) integer(name.c_str(), *whole);
    if (const auto* real = std::get_if<double>(&value)) number(name.c_str(), *real);
    if (const auto* flag = std::get_if<bool>(&value)) keys.add(prefix + name, *flag);
  }
  if (facts.scaling == RopeScaling::kNone || facts.scaling == RopeScaling::kLlama3) return;
  keys.add(prefix + "rope.scaling.type", facts.scaling == RopeScaling::kYarn ? "yarn" : "linear");
  number("rope.scaling.factor", facts.scaling_factor);
  if (facts.scaling != RopeScaling::kYarn) return;
  integer("rope.scaling.original_context_length", facts.original_context);
  number("rope.scaling.yarn_beta_fast", facts.beta_fast);
  number("rope.scaling.yarn_beta_slow", facts.beta_slow);
  if (facts.log_multiplier != 0) number("rope.scaling.yarn_log_multiplier", written_log_multiplier(facts));
  if (facts.attention_factor) number("rope.scaling.attn_factor", *facts.attention_factor);
}

}  // namespace maestrale::files
