// Every entry of the registry, by tiny models of made-up weights: the same bits on every instruction set and
// for every number of threads, however the prompt is cut and whatever else is in the batch; quantised weights
// near exact ones.
#include "models/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "models/preset_tensors.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::models {
namespace {

struct Tiny {
  const char* id;
  const char* architecture;
  const char* settings;  // of config.json, over those that all share
};

constexpr const char* kLatent =
    R"("q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
       "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
       "first_k_dense_replace": 1, "routed_scaling_factor": 2.0, "norm_topk_prob": true)";

std::string latent(const char* more) { return std::string("{") + kLatent + more + "}"; }

const std::string kDeepSeek = latent(R"(, "n_group": 4, "topk_group": 2, "topk_method": "noaux_tc")");
const std::string kMistralLatent = [] {
  std::string settings = latent(R"(, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0})");
  settings.replace(settings.find("2.0"), 3, "1.0");
  return settings;
}();

const Tiny kTiny[] = {
    {"deepseek", "DeepseekV3ForCausalLM", kDeepSeek.c_str()},
    {"gemma", "Gemma2ForCausalLM",
     R"({"sliding_window": 16, "query_pre_attn_scalar": 32, "attn_logit_softcapping": 50.0,
         "final_logit_softcapping": 30.0, "hidden_activation": "gelu_pytorch_tanh"})"},
    {"gptoss", "GptOssForCausalLM",
     R"({"num_local_experts": 8, "num_experts_per_tok": 4, "sliding_window": 16, "swiglu_limit": 7.0})"},
    {"grok", "Grok1ForCausalLM",
     R"({"num_local_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "residual_moe": true,
         "attn_logit_softcapping": 30.0, "router_logit_softcapping": 30.0, "final_logit_softcapping": 50.0,
         "attn_output_multiplier": 0.17, "embedding_multiplier_scale": 8.0, "output_multiplier_scale": 0.5,
         "attn_temperature_len": 8, "rope_type": "original", "scaling_factor": 16.0,
         "original_max_position_embeddings": 1024, "beta_fast": 8, "beta_slow": 1})"},
    {"helium", "HeliumForCausalLM", "{}"},
    {"llama", "LlamaForCausalLM", "{}"},
    {"llama4", "Llama4ForCausalLM",
     R"({"num_local_experts": 8, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2,
         "intermediate_size_mlp": 128, "use_qk_norm": true, "attention_chunk_size": 16, "floor_scale": 4})"},
    {"mamba", "Mamba2ForCausalLM",
     R"({"num_heads": 4, "n_groups": 2, "state_size": 16, "conv_kernel": 4, "expand": 2, "layer_norm_epsilon": 1e-5,
         "rope_theta": null})"},
    {"mistral", "MistralForCausalLM", R"({"sliding_window": 16})"},
    {"mistral_latent", "Mistral4ForCausalLM", kMistralLatent.c_str()},
    {"mixtral", "MixtralForCausalLM", R"({"num_local_experts": 8, "num_experts_per_tok": 2})"},
    {"qwen2", "Qwen2ForCausalLM", "{}"},
    {"qwen3", "Qwen3ForCausalLM", "{}"},
    {"qwen3moe", "Qwen3MoeForCausalLM",
     R"({"num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 64, "norm_topk_prob": true})"},
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
    const auto start = (reinterpret_cast<std::uintptr_t>(workspace_.data()) + 63) / 64 * 64;
    model_->forward(*ops_, {tokens, positions, sequences, rows}, *cache_,
                    {reinterpret_cast<std::byte*>(start), workspace_.size() - 64}, logits.data());
    return logits;
  }

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
  static constexpr std::int64_t kMostRows = 80;
  std::unique_ptr<ops::Ops> ops_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<ops::KvCache> cache_;
  std::vector<std::byte> workspace_;
};

std::vector<std::int32_t> some_tokens(std::uint64_t seed) {
  std::vector<std::int32_t> tokens(kTokens);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(uniform(seed, 7, i) * kVocabulary);
  }
  return tokens;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

class Registry : public testing::TestWithParam<Tiny> {};

TEST_P(Registry, SameBitsHoweverThePromptIsCut) {
  for (const char* format : {"f32", "q8_0"}) {
    const TinyCheckpoint tiny(GetParam(), format);
    Runner runner(tiny.checkpoint, {}, 2);
    const std::vector<float> whole = runner.prompt(some_tokens(1), kTokens);
    EXPECT_TRUE(all_finite(whole)) << format;
    EXPECT_TRUE(same_bits(whole, runner.prompt(some_tokens(1), 1))) << format << ", token by token";
    EXPECT_TRUE(same_bits(whole, runner.prompt(some_tokens(1), 5))) << format << ", five at a time";
  }
}

TEST_P(Registry, SameBitsOnEveryInstructionSetAndNumberOfThreads) {
  for (const char* format : {"f32", "q4_0"}) {
    const TinyCheckpoint tiny(GetParam(), format);
    const std::vector<float> reference = Runner(tiny.checkpoint, "ref", 1).prompt(some_tokens(2), kTokens);
    for (const char* isa : {"avx2", "avx512"}) {
      if (!ops::make_cpu_ops(isa, 1).ok()) continue;  // not on this machine
      EXPECT_TRUE(same_bits(reference, Runner(tiny.checkpoint, isa, 3).prompt(some_tokens(2), kTokens)))
          << format << " " << isa;
    }
  }
}

TEST_P(Registry, SameBitsAloneAndAmongOthers) {
  const TinyCheckpoint tiny(GetParam(), "q8_0");
  Runner runner(tiny.checkpoint, {}, 2);
  std::vector<std::vector<float>> alone;
  std::vector<int> sequences;
  for (int i = 0; i < kSequences; ++i)
    alone.push_back(runner.prompt(some_tokens(static_cast<std::uint64_t>(i)), 8));
  for (int i = 0; i < kSequences; ++i) sequences.push_back(runner.open());
  for (int position = 0; position < kTokens; ++position) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < kSequences; ++i) {
      tokens.push_back(some_tokens(static_cast<std::uint64_t>(i))[static_cast<std::size_t>(position)]);
    }
    const std::vector<float> logits = runner.forward(tokens, std::vector<std::int32_t>(kSequences, position),
                                                     {sequences.begin(), sequences.end()});
    for (std::size_t i = 0; i < kSequences; ++i) {
      ASSERT_EQ(std::memcmp(logits.data() + i * kVocabulary,
                            alone[i].data() + static_cast<std::size_t>(position) * kVocabulary,
                            kVocabulary * sizeof(float)),
                0)
          << "sequence " << i << ", position " << position;
    }
  }
}

// Activations of eight bits move the logits a little, and may move a router's choice: most positions agree
// closely.
TEST_P(Registry, EightBitActivationsStayNearExactArithmetic) {
  const TinyCheckpoint tiny(GetParam(), "q8_0");
  const std::vector<float> fast = Runner(tiny.checkpoint, {}, 2).prompt(some_tokens(3), kTokens);
  const std::vector<float> exact =
      Runner(tiny.checkpoint, {}, 2, ops::Arithmetic::kFloat).prompt(some_tokens(3), kTokens);
  std::vector<double> errors;
  for (std::size_t row = 0; row < kTokens; ++row) {
    double difference = 0, size = 0;
    for (std::size_t i = row * kVocabulary; i < (row + 1) * kVocabulary; ++i) {
      difference += std::pow(static_cast<double>(fast[i]) - exact[i], 2);
      size += std::pow(static_cast<double>(exact[i]), 2);
    }
    errors.push_back(std::sqrt(difference / size));
  }
  std::sort(errors.begin(), errors.end());
  EXPECT_LT(errors[errors.size() / 2], 0.1);
  EXPECT_GT(errors[errors.size() / 2], 0);
}

INSTANTIATE_TEST_SUITE_P(Entries, Registry, testing::ValuesIn(kTiny),
                         [](const auto& info) { return std::string(info.param.id); });

TEST(DeepSeek, LeavesOutLayersThatPredictFurtherTokens) {
  const Tiny tiny{"deepseek", "DeepseekV3ForCausalLM", kDeepSeek.c_str()};
  const TinyCheckpoint plain(tiny, "f32");
  TinyCheckpoint more(tiny, "f32");
  more.checkpoint.metadata["num_nextn_predict_layers"] = 1;
  std::vector<std::byte>& bytes = more.storage.emplace_back(64 * 128 * sizeof(float));
  more.checkpoint.tensors.push_back({"model.layers.4.eh_proj.weight", DType::kF32, {64, 128}, bytes});
  more.checkpoint.index_tensors();
  EXPECT_TRUE(same_bits(Runner(plain.checkpoint, {}, 2).prompt(some_tokens(1), kTokens),
                        Runner(more.checkpoint, {}, 2).prompt(some_tokens(1), kTokens)));
  const auto ops = std::move(ops::make_cpu_ops({}, 1)).value();
  const std::string left_out = "layers that predict further tokens left out";
  EXPECT_NE(plan_model(more.checkpoint, *ops)->info.notes.find(left_out), std::string::npos);
  EXPECT_EQ(plan_model(plain.checkpoint, *ops)->info.notes.find(left_out), std::string::npos);
}

TEST(RegistryList, HasATinyModelForEveryEntry) {
  // Encoders have no tokens to predict: encoder_test.cpp runs them, tests/system/embed_test.py knows the
  // truth.
  std::set<std::string> tiny = {"bert", "jina_bert", "nomic_bert"};
  for (const Tiny& entry : kTiny) tiny.insert(entry.id);
  const std::vector<std::string> registered = registered_architectures();
  EXPECT_EQ(tiny, std::set<std::string>(registered.begin(), registered.end()));
  for (const Tiny& entry : kTiny) {
    const TinyCheckpoint checkpoint(entry, "f32");
    EXPECT_EQ((*find_entry(checkpoint.checkpoint))->id, entry.id);
  }
}

}  // namespace
}  // namespace maestrale::models
