// ConfigReader: one question, whatever the dialect of the checkpoint. A required key has no default; a key that
// would change the mathematics and is not understood is an error by its name.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "files/checkpoint.h"
#include "nn/attention.h"
#include "nn/rope.h"

namespace maestrale::models {

// The names of one setting: GGUF's without the "{architecture}." prefix; empty where the dialect has none.
struct Key {
  std::string_view gguf, hugging_face, mistral, llama2c = {};
};

namespace keys {
inline constexpr Key kHidden{"embedding_length", "hidden_size", "dim", "dim"};
inline constexpr Key kLayers{"block_count", "num_hidden_layers", "n_layers", "n_layers"};
inline constexpr Key kHeads{"attention.head_count", "num_attention_heads", "n_heads", "n_heads"};
inline constexpr Key kKvHeads{"attention.head_count_kv", "num_key_value_heads", "n_kv_heads", "n_kv_heads"};
inline constexpr Key kHeadSize{"attention.key_length", "head_dim", "head_dim"};
inline constexpr Key kFfn{"feed_forward_length", "intermediate_size", "hidden_dim", "hidden_dim"};
inline constexpr Key kEps{"attention.layer_norm_rms_epsilon", "rms_norm_eps", "norm_eps"};
inline constexpr Key kVocabulary{"vocab_size", "vocab_size", "vocab_size", "vocab_size"};
inline constexpr Key kContext{"context_length", "max_position_embeddings", "max_seq_len", "seq_len"};
inline constexpr Key kWindow{"attention.sliding_window", "sliding_window", "sliding_window"};
}  // namespace keys

class ConfigReader {
 public:
  static Result<ConfigReader> open(const files::Checkpoint& checkpoint);

  // Values that the authors' own reader assumes where the file leaves them out.
  void set_defaults(const json::object& defaults);

  files::Dialect dialect() const { return checkpoint_->dialect; }
  const files::Checkpoint& checkpoint() const { return *checkpoint_; }
  bool has(const Key& key) const;
  const json::value* find(const Key& key) const;
  // Integers are checked to lie in [1, 2^31).
  Result<std::int64_t> size(const Key& key) const;
  Result<std::int64_t> size_or(const Key& key, std::int64_t fallback) const;
  // Any integer or number, or the fallback where there is none.
  Result<std::int64_t> integer_or(const Key& key, std::int64_t fallback) const;
  Result<double> number_or(const Key& key, double fallback) const;
  Result<double> positive(const Key& key) const;
  Result<double> positive_or(const Key& key, double fallback) const;
  // The (text part of the) configuration itself, for what only one dialect has.
  JsonFields fields() const { return {*object_, where_}; }
  std::string gguf_key(std::string_view name) const { return prefix_ + std::string(name); }

  // Rows of the embedding table; vocab_size where it is given must agree.
  Result<std::int64_t> vocabulary() const;
  bool tied_head() const;
  // Refuses settings of config.json that would change the mathematics and are not in `understood`.
  Status refuse_unknown(std::span<const std::string_view> understood) const;
  // The value, if present, must be the expected one: "hidden_act" = "silu".
  Status require_string(std::string_view hugging_face_key, std::string_view expected) const;
  Status require_false(std::string_view hugging_face_key) const;

 private:
  // Where a key stands: Mistral's "moe.num_experts" in an object of its own.
  struct Place {
    JsonFields fields;
    std::string name;
  };
  Place place(const Key& key) const;
  std::string name(const Key& key) const;
  const files::Checkpoint* checkpoint_ = nullptr;
  const json::object* object_ = nullptr;
  std::unique_ptr<json::object> completed_;  // the configuration with defaults, where some are set
  std::string where_, prefix_;
};

// Base, scaling and magnitude as the dialect states them; `pairing` and `rotated` are the caller's.
// `layer_type` ("full_attention") picks its part where config.json states them by type of layer.
Result<nn::RopeOptions> read_rope(const ConfigReader& config, double default_base,
                                  std::string_view layer_type = {});

// Mistral's attention temperature, where the files state one.
Result<std::optional<nn::QueryTemperature>> read_temperature(const ConfigReader& config);

}  // namespace maestrale::models
