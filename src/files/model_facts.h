// ModelFacts: what a decoder's configuration says, apart from how a dialect spells it. Used by conversion
// alone; a key that would change the arithmetic and is not known here is refused by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "files/checkpoint.h"
#include "files/gguf_writer.h"

namespace maestrale::files {

enum class RopeScaling { kNone, kLinear, kYarn, kLlama3 };

// DeepSeek's attention through a compressed row. A query head is plain + rotated long.
struct LatentFacts {
  std::int64_t query_rank = 0;  // 0: queries are not compressed
  std::int64_t latent = 0, plain = 0, rotated = 0, value = 0;
};

struct ExpertFacts {
  std::int64_t count = 0;
  // How files that hold gate and up of all experts in one tensor arrange it.
  bool interleaved = false, inputs_first = false;
};

// A key of GGUF without the architecture before it, and its value.
using FurtherKey = std::pair<std::string, std::variant<std::int64_t, double, bool>>;

struct ModelFacts {
  std::string architecture;  // GGUF's name: llama, mistral3, qwen2, qwen3, qwen3moe, deepseek2, …
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

  // Mixtures and latent attention, which are written to GGUF alone.
  std::optional<ExpertFacts> experts;
  std::optional<LatentFacts> latent;
  std::vector<FurtherKey> further;
  std::string output_norm_name;  // Grok: what GGUF calls the norm of the feed-forward's output

  // HF stores q and k for rotation by halves; GGUF's llama and mistral3 and Meta's own files interleave.
  bool interleaves_in_gguf() const { return architecture == "llama" || architecture == "mistral3"; }
  bool is_dense() const { return !experts && !latent; }
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
