// What the tests of this room share: tiny models of made-up weights, and a loaded one with room for a few
// sequences.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "models/model.h"
#include "models/preset_tensors.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::models {

struct Tiny {
  const char* id;
  const char* architecture;
  const char* settings;  // of config.json, over those that all share
};

constexpr std::int64_t kVocabulary = 80;
constexpr int kTokens = 70;  // of a prompt: more than a page of the cache
constexpr int kSequences = 7;

// A checkpoint whose every tensor has weights of its own.
struct TinyCheckpoint {
  TinyCheckpoint(const Tiny& tiny, const char* format) {
    json::object config{{"architectures", json::array{tiny.architecture}},
                        {"num_hidden_layers", 4},
                        {"hidden_size", 64},
                        {"num_attention_heads", 4},
                        {"num_key_value_heads", 2},
                        {"head_dim", 32},
                        {"intermediate_size", 96},
                        {"vocab_size", kVocabulary},
                        {"rope_theta", 10000.0},
                        {"max_position_embeddings", 1024},
                        {"rms_norm_eps", 1e-5},
                        {"tie_word_embeddings", false}};
    const json::value settings = std::move(parse_json(tiny.settings, "settings")).value();
    for (const auto& [key, value] : settings.as_object()) config[key] = value;
    checkpoint.dialect = files::Dialect::kHuggingFace;
    checkpoint.path = tiny.id;
    checkpoint.metadata = config;
    checkpoint.tensors = std::move(preset_tensors(config, format)).value();
    storage.reserve(checkpoint.tensors.size());
    for (std::size_t i = 0; i < checkpoint.tensors.size(); ++i) fill(checkpoint.tensors[i], i);
    checkpoint.index_tensors();
  }

  void fill(TensorView& tensor, std::uint64_t seed) {
    const bool norm = tensor.name.find("norm") != tensor.name.npos;
    const double scale =
        tensor.shape.size() < 2 ? 0.3 : 1.6 / std::sqrt(static_cast<double>(tensor.columns()));
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(scale * (2 * uniform(seed, 0, i) - 1)) + (norm ? 1.0f : 0.0f);
    }
    std::vector<std::byte>& bytes = storage.emplace_back(tensor.data.size());
    if (tensor.dtype == DType::kF32) {
      std::memcpy(bytes.data(), values.data(), bytes.size());
    } else {
      traits(tensor.dtype).quantise(values.data(), nullptr, bytes.data(), tensor.elements());
    }
    tensor.data = bytes;
  }

  files::Checkpoint checkpoint;
  std::vector<std::vector<std::byte>> storage;
};

// A loaded model with room for a few sequences.
class Runner {
 public:
  Runner(const files::Checkpoint& checkpoint, std::string_view isa, int threads,
         ops::Arithmetic arithmetic = ops::Arithmetic::kQuantised)
      : ops_(std::move(ops::make_cpu_ops(isa, threads, arithmetic)).value()) {
    auto plan = plan_model(checkpoint, *ops_);
    if (!plan.ok()) throw std::runtime_error(plan.error().render());
    EXPECT_TRUE(ops_->reserve_weights(plan->weight_bytes).ok());
    EXPECT_TRUE(ops_->reserve_scratch(kMostRows, plan->widest_input).ok());
    auto model = load_model(checkpoint, *ops_, {});
    if (!model.ok()) throw std::runtime_error(model.error().render());
    model_ = std::move(model).value();
    ops::KvShape shape = plan->kv;
    shape.type = ops::KvType::kF32;
    cache_ = std::make_unique<ops::KvCache>(
        std::move(ops::KvCache::create(shape, 2 * kSequences, kSequences)).value());
    workspace_.resize(model_->workspace_bytes(kMostRows) + 64);
  }

  int open() {
    const int sequence = cache_->open_sequence();
    EXPECT_TRUE(cache_->reserve(sequence, kTokens).ok());
    return sequence;
  }
  void close(int sequence) { cache_->close_sequence(sequence); }

  // Logits of every row.
  std::vector<float> forward(const std::vector<std::int32_t>& tokens,
                             const std::vector<std::int32_t>& positions,
                             const std::vector<std::int32_t>& sequences) {
    std::vector<std::int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<float> logits(tokens.size() * kVocabulary);
    model_->forward(*ops_, {tokens, positions, sequences, rows}, *cache_, workspace(), logits.data());
    return logits;
  }
  // Of one sequence, from position `first` on.
  std::vector<float> forward(int sequence, std::int32_t first, const std::vector<std::int32_t>& tokens) {
    std::vector<std::int32_t> positions(tokens.size());
    std::iota(positions.begin(), positions.end(), first);
    return forward(tokens, positions, std::vector<std::int32_t>(tokens.size(), sequence));
  }
  // Final states of a text, [tokens, hidden].
  std::vector<float> states(const std::vector<std::int32_t>& tokens) {
    const int sequence = open();
    std::vector<std::int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<float> states(tokens.size() * static_cast<std::size_t>(model_->info().hidden_size));
    model_->states(*ops_, {tokens, rows, std::vector<std::int32_t>(tokens.size(), sequence), rows}, *cache_,
                   workspace(), states.data());
    close(sequence);
    return states;
  }
  // The head's logits after each of the tokens; `states` as Model::predict has them.
  std::vector<float> predict(const std::vector<std::int32_t>& tokens,
                             const std::vector<std::int32_t>& positions,
                             const std::vector<std::int32_t>& sequences, std::vector<float>& states) {
    std::vector<float> logits(tokens.size() * kVocabulary);
    model_->predict(*ops_, {tokens, positions, sequences, {}}, *cache_, workspace(), states.data(),
                    logits.data());
    return logits;
  }
  // The state of a position; empty where it is not known.
  std::vector<float> recent(int sequence, std::int64_t position) {
    const float* state = cache_->recent(sequence).find(position);
    return state == nullptr ? std::vector<float>()
                            : std::vector<float>(state, state + model_->info().hidden_size);
  }
  // What all rows of the batches that follow want of the checkpoint's adapters.
  void want(std::vector<ops::AdapterChoice> choices) { want_by_row({std::move(choices)}); }
  // The same of each row; the last list is that of all further rows.
  void want_by_row(std::vector<std::vector<ops::AdapterChoice>> lists) {
    lists_ = std::move(lists);
    wanted_.assign(lists_.begin(), lists_.end());
    wanted_.resize(kMostRows, lists_.back());
    ops_->choose_adapters(wanted_);
  }
  const ModelInfo& info() const { return model_->info(); }

  // A prompt in pieces of `piece` tokens.
  std::vector<float> prompt(const std::vector<std::int32_t>& tokens, int piece) {
    const int sequence = open();
    std::vector<float> all;
    for (int first = 0; first < kTokens; first += piece) {
      const int last = std::min(first + piece, kTokens);
      std::vector<std::int32_t> positions(static_cast<std::size_t>(last - first));
      std::iota(positions.begin(), positions.end(), first);
      const std::vector<float> logits = forward({tokens.begin() + first, tokens.begin() + last}, positions,
                                                std::vector<std::int32_t>(positions.size(), sequence));
      all.insert(all.end(), logits.begin(), logits.end());
    }
    close(sequence);
    return all;
  }

 private:
  std::span<std::byte> workspace() {
    const auto start = (reinterpret_cast<std::uintptr_t>(workspace_.data()) + 63) / 64 * 64;
    return {reinterpret_cast<std::byte*>(start), workspace_.size() - 64};
  }

  static constexpr std::int64_t kMostRows = 80;
  std::unique_ptr<ops::Ops> ops_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<ops::KvCache> cache_;
  std::vector<std::byte> workspace_;
  std::vector<std::vector<ops::AdapterChoice>> lists_;
  std::vector<ops::AdapterChoices> wanted_;
};

inline std::vector<std::int32_t> some_tokens(std::uint64_t seed) {
  std::vector<std::int32_t> tokens(kTokens);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(uniform(seed, 7, i) * kVocabulary);
  }
  return tokens;
}

inline double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace maestrale::models
