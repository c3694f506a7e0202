// What the tests of this room share: a tiny model with random weights, made in memory, and where outside data
// lies.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "engine/engine.h"
#include "ops/cpu/cpu_ops.h"
#include "text/tokenizer/load.h"

namespace maestrale::engine {

// Empty where there is no such folder or file.
inline std::filesystem::path shared_path(std::string_view inside) {
  const char* set = std::getenv("MAESTRALE_SHARED");
  const std::filesystem::path path = std::filesystem::path(set != nullptr ? set : "../shared") / inside;
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

// Those of this machine, slowest first.
inline std::vector<std::string> usable_instruction_sets() {
  std::vector<std::string> names;
  for (const char* name : {"ref", "avx2", "avx512"}) {
    if (ops::make_cpu_ops(name, 1).ok()) names.emplace_back(name);
  }
  return names;
}

// Every row a multiple of 256, so that every block format fits; the vocabulary is not a multiple of a panel.
struct TinyShape {
  DType dtype = DType::kF32;
  std::int64_t window = 0;
  std::int64_t context = 192;
  std::int64_t layers = 2, hidden = 256, heads = 4, kv_heads = 2, head_size = 64, ffn = 256, vocabulary = 301;
};

class TinyModel {
 public:
  explicit TinyModel(const TinyShape& shape) : shape_(shape) {
    matrix("model.embed_tokens.weight", shape.vocabulary, shape.hidden);
    for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      vector(prefix + "input_layernorm.weight", shape.hidden);
      matrix(prefix + "self_attn.q_proj.weight", shape.heads * shape.head_size, shape.hidden);
      matrix(prefix + "self_attn.k_proj.weight", shape.kv_heads * shape.head_size, shape.hidden);
      matrix(prefix + "self_attn.v_proj.weight", shape.kv_heads * shape.head_size, shape.hidden);
      matrix(prefix + "self_attn.o_proj.weight", shape.hidden, shape.heads * shape.head_size);
      vector(prefix + "post_attention_layernorm.weight", shape.hidden);
      matrix(prefix + "mlp.gate_proj.weight", shape.ffn, shape.hidden);
      matrix(prefix + "mlp.up_proj.weight", shape.ffn, shape.hidden);
      matrix(prefix + "mlp.down_proj.weight", shape.hidden, shape.ffn);
    }
    vector("model.norm.weight", shape.hidden);
    matrix("lm_head.weight", shape.vocabulary, shape.hidden);
    checkpoint.dialect = files::Dialect::kHuggingFace;
    checkpoint.path = "tiny model";
    checkpoint.tokenizer_problem = "a tiny model has no tokenizer";
    checkpoint.metadata = config();
    checkpoint.index_tensors();
  }

  files::Checkpoint checkpoint;

 private:
  json::object config() const {
    json::object config{{"architectures", json::array{json::string("MistralForCausalLM")}},
                        {"num_hidden_layers", shape_.layers},
                        {"hidden_size", shape_.hidden},
                        {"num_attention_heads", shape_.heads},
                        {"num_key_value_heads", shape_.kv_heads},
                        {"head_dim", shape_.head_size},
                        {"intermediate_size", shape_.ffn},
                        {"vocab_size", shape_.vocabulary},
                        {"rope_theta", 10000.0},
                        {"max_position_embeddings", shape_.context},
                        {"rms_norm_eps", 1e-5}};
    if (shape_.window > 0) config["sliding_window"] = shape_.window;
    return config;
  }

  std::vector<float> noise(std::int64_t n, double size, double middle) {
    std::vector<float> values(static_cast<std::size_t>(n));
    ++stream_;
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(middle + size * (2 * uniform(11, stream_, i) - 1));
    }
    return values;
  }

  void add(const std::string& name, DType dtype, std::vector<std::int64_t> shape,
           const std::vector<float>& values) {
    const auto count = static_cast<std::int64_t>(values.size());
    const std::size_t bytes = storage_bytes(dtype, count).value();
    HugeBuffer buffer = std::move(HugeBuffer::allocate(bytes)).value();
    if (dtype == DType::kF32) {
      std::memcpy(buffer.data(), values.data(), bytes);
    } else {
      traits(dtype).quantise(values.data(), nullptr, buffer.data(), count);
    }
    checkpoint.tensors.push_back(
        {.name = name, .dtype = dtype, .shape = std::move(shape), .data = {buffer.data(), bytes}});
    checkpoint.buffers.push_back(std::move(buffer));
  }

  void matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
    // Uniform with the variance that keeps a product as large as its input, so that no layer is a bystander.
    const double size = std::sqrt(3.0 / static_cast<double>(columns));
    add(name, shape_.dtype, {rows, columns}, noise(rows * columns, size, 0));
  }

  void vector(const std::string& name, std::int64_t n) { add(name, DType::kF32, {n}, noise(n, 0.3, 1)); }

  TinyShape shape_;
  std::uint64_t stream_ = 0;
};

inline files::Checkpoint tiny_checkpoint(const TinyShape& shape = {}) {
  return std::move(TinyModel(shape).checkpoint);
}

inline std::unique_ptr<Engine> tiny_engine(const LoadOptions& options, const TinyShape& shape = {}) {
  auto engine = Engine::load(tiny_checkpoint(shape), options);
  EXPECT_TRUE(engine.ok()) << engine.error().render();
  return engine.ok() ? std::move(engine).value() : nullptr;
}

// Single bytes, then the end token and other control tokens.
inline text::TokenizerPtr byte_tokenizer(std::int64_t vocabulary) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string ranks;
  for (unsigned byte = 0; byte < 256; ++byte) {
    ranks += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='};
    ranks += " " + std::to_string(byte) + "\n";
  }
  text::TiktokenSpec spec{.pattern = ".+", .specials = {{"<|end_of_text|>", 256}}};
  for (text::TokenId id = 257; id < vocabulary; ++id)
    spec.specials.emplace_back("<|special_" + std::to_string(id) + "|>", id);
  return text::tokenizer_from_tiktoken(ranks, spec, "test").value();
}

// n token ids below `vocabulary`, the same for the same seed.
inline std::vector<text::TokenId> some_tokens(std::int64_t n, std::int64_t vocabulary,
                                              std::uint64_t seed = 1) {
  std::vector<text::TokenId> tokens;
  for (std::int64_t i = 0; i < n; ++i) {
    const double share = uniform(seed, 0, static_cast<std::uint64_t>(i));
    tokens.push_back(static_cast<text::TokenId>(share * static_cast<double>(vocabulary)));
  }
  return tokens;
}

}  // namespace maestrale::engine
