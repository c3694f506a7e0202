// ModelFacts: what a dense Llama-like model's configuration says, apart from how a dialect spells it. Used by
// conversion alone; a key that would change the arithmetic and is not known here is refused by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "files/checkpoint.h"
#include "files/gguf_writer.h"

namespace maestrale::files {

enum class RopeScaling { kNone, kLinear, kYarn, kLlama3 };

struct ModelFacts {
  std::string architecture;  // GGUF's name: llama, mistral3, qwen2, qwen3
  std::string name;
  std::int64_t layers = 0, embedding = 0, feed_forward = 0, heads = 0, kv_heads = 0, head_size = 0;
  std::int64_t context = 0, vocabulary = 0;
  double norm_epsilon = 1e-5, rope_base = 1e4;
  bool tied = false;
  std::optional<std::int64_t> sliding_window;
  std::optional<double> temperature_scale;  // Mistral's attention temperature

  RopeScaling scaling = RopeScaling::kNone;
  double scaling_factor = 1;
  std::int64_t original_context = 0;             // YaRN and Llama 3
  double low_frequency = 1, high_frequency = 4;  // Llama 3
  double beta_fast = 32, beta_slow = 1;          // YaRN
  double log_multiplier = 0;                     // YaRN's mscale_all_dim; 0: plain YaRN
  std::optional<double> attention_factor;        // YaRN, where given

  // HF stores q and k for rotation by halves; GGUF's llama and mistral3 and Meta's own files interleave.
  bool interleaves_in_gguf() const { return architecture == "llama" || architecture == "mistral3"; }
};

// From any dialect's configuration. For GGUF the divisors in rope_freqs.weight are read back into Llama 3's
// terms.
Result<ModelFacts> read_facts(const Checkpoint& checkpoint);
Result<ModelFacts> facts_from_hugging_face(const json::object& config, const std::string& where);
Result<ModelFacts> facts_from_mistral(const json::object& params, const std::string& where);
Result<ModelFacts> facts_from_llama2c(const json::object& header, const std::string& where);
Result<ModelFacts> facts_from_gguf(const Checkpoint& checkpoint, const std::string& where);

void add_gguf_keys(const ModelFacts& facts, GgufKeys& keys);
Result<json::object> hugging_face_config(const ModelFacts& facts, std::string_view torch_dtype);
// Llama 3's divisors, head_size / 2 of them: the angle of pair i is divided by the i-th.
std::vector<float> llama3_divisors(const ModelFacts& facts);

}  // namespace maestrale::files
