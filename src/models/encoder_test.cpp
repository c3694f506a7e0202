// Encoders by tiny models of made-up weights: the same bits on every instruction set, for every number of
// threads and whatever else is in the batch; and what their configurations may not say. What they compute is
// compared with plain formulas in tests/system/embed_test.py.
#include "models/encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <list>
#include <numeric>

#include "base/rng.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::models {
namespace {

constexpr std::int64_t kHidden = 64, kFfn = 96, kVocabulary = 50, kPositions = 80;

class TinyEncoder {
 public:
  TinyEncoder(const char* architecture, const char* settings, DType dtype) : dtype_(dtype) {
    checkpoint.dialect = files::Dialect::kHuggingFace;
    checkpoint.path = architecture;
    checkpoint.metadata = std::move(parse_json(settings, "settings")).value().as_object();
    checkpoint.metadata["architectures"] = json::array{architecture};
    checkpoint.metadata["vocab_size"] = kVocabulary;
    nomic_ = std::string_view(architecture).starts_with("Nomic");
    jina_ = std::string_view(architecture).starts_with("Jina");
    matrix("embeddings.word_embeddings", kVocabulary, kHidden, false);
    matrix("embeddings.token_type_embeddings", 2, kHidden, false);
    if (!nomic_ && !jina_) matrix("embeddings.position_embeddings", kPositions, kHidden, false);
    norm(nomic_ ? "emb_ln" : "embeddings.LayerNorm");
    for (int layer = 0; layer < 2; ++layer) add_layer(layer);
    checkpoint.index_tensors();
  }

  files::Checkpoint checkpoint;

 private:
  void add_layer(int layer) {
    const std::string prefix = (nomic_ ? "encoder.layers." : "encoder.layer.") + std::to_string(layer) + ".";
    if (nomic_) {
      matrix(prefix + "attn.Wqkv", 3 * kHidden, kHidden, false);
      matrix(prefix + "attn.out_proj", kHidden, kHidden, false);
      for (const char* name : {"mlp.fc11", "mlp.fc12"}) matrix(prefix + name, kFfn, kHidden, false);
      matrix(prefix + "mlp.fc2", kHidden, kFfn, false);
      for (const char* name : {"norm1", "norm2"}) norm(prefix + name);
      return;
    }
    for (const char* name :
         {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"}) {
      matrix(prefix + name, kHidden, kHidden, true);
    }
    norm(prefix + "attention.output.LayerNorm");
    if (jina_) {
      matrix(prefix + "mlp.gated_layers", 2 * kFfn, kHidden, false);
      matrix(prefix + "mlp.wo", kHidden, kFfn, true);
      return norm(prefix + "mlp.layernorm");
    }
    matrix(prefix + "intermediate.dense", kFfn, kHidden, true);
    matrix(prefix + "output.dense", kHidden, kFfn, true);
    norm(prefix + "output.LayerNorm");
  }

  void add(const std::string& name, DType dtype, std::vector<std::int64_t> shape, double middle,
           double size) {
    TensorView tensor{.name = name, .dtype = dtype, .shape = std::move(shape), .data = {}};
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(middle + size * (2 * uniform(5, storage_.size(), i) - 1));
    auto& bytes = storage_.emplace_back(*storage_bytes(dtype, tensor.elements()));
    if (dtype == DType::kF32) {
      std::memcpy(bytes.data(), values.data(), bytes.size());
    } else {
      traits(dtype).quantise(values.data(), nullptr, bytes.data(), tensor.elements());
    }
    tensor.data = bytes;
    checkpoint.tensors.push_back(std::move(tensor));
  }
  void matrix(const std::string& name, std::int64_t rows, std::int64_t columns, bool bias) {
    add(name + ".weight", dtype_, {rows, columns}, 0, 1.6 / std::sqrt(static_cast<double>(columns)));
    if (bias) add(name + ".bias", DType::kF32, {rows}, 0, 0.3);
  }
  void norm(const std::string& name) {
    add(name + ".weight", DType::kF32, {kHidden}, 1, 0.3);
    add(name + ".bias", DType::kF32, {kHidden}, 0, 0.3);
  }

  DType dtype_;
  bool nomic_ = false, jina_ = false;
  std::list<std::vector<std::byte>> storage_;
};

struct Family {
  const char* id;
  const char* architecture;
  const char* settings;
};

constexpr const char* kBert =
    R"({"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
        "max_position_embeddings": 80, "layer_norm_eps": 1e-12, "hidden_act": "gelu"})";
const Family kFamilies[] = {
    {"bert", "BertModel", kBert},
    {"jina_bert", "JinaBertModel",
     R"({"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
         "max_position_embeddings": 80, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
         "position_embedding_type": "alibi", "feed_forward_type": "geglu"})"},
    {"nomic_bert", "NomicBertModel",
     R"({"n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 96, "n_positions": 80, "layer_norm_epsilon": 1e-12,
         "activation_function": "swiglu", "rotary_emb_base": 1000})"}};

using Texts = std::vector<std::vector<std::int32_t>>;

// The states of all rows of all texts, in one batch.
std::vector<float> states_of(const files::Checkpoint& checkpoint, const char* isa, int threads,
                             const Texts& texts) {
  const auto ops = std::move(ops::make_cpu_ops(isa, threads)).value();
  auto plan = plan_model(checkpoint, *ops);
  if (!plan.ok()) throw std::runtime_error(plan.error().render());
  std::vector<std::int32_t> tokens, positions, sequences;
  EXPECT_TRUE(ops->reserve_weights(plan->weight_bytes).ok());
  auto model = load_model(checkpoint, *ops, {});
  if (!model.ok()) throw std::runtime_error(model.error().render());
  ops::KvShape shape = plan->kv;
  shape.type = ops::KvType::kF32;
  ops::KvCache cache = std::move(ops::KvCache::create(shape, 8)).value();
  for (const auto& text : texts) {
    const int sequence = cache.open_sequence();
    EXPECT_TRUE(cache.reserve(sequence, static_cast<std::int64_t>(text.size())).ok());
    for (std::size_t i = 0; i < text.size(); ++i) positions.push_back(static_cast<std::int32_t>(i));
    sequences.insert(sequences.end(), text.size(), sequence);
    tokens.insert(tokens.end(), text.begin(), text.end());
  }
  std::vector<std::int32_t> all(tokens.size());
  std::iota(all.begin(), all.end(), 0);
  const auto rows = static_cast<std::int64_t>(tokens.size());
  EXPECT_TRUE(ops->reserve_scratch(rows, plan->widest_input).ok());
  HugeBuffer workspace = std::move(HugeBuffer::allocate((*model)->workspace_bytes(rows))).value();
  std::vector<float> states(tokens.size() * kHidden);
  (*model)->states(*ops, {tokens, positions, sequences, all}, cache, {workspace.data(), workspace.size()},
                   states.data());
  return states;
}

bool same_bits(const float* a, const std::vector<float>& b) {
  return std::memcmp(a, b.data(), b.size() * sizeof(float)) == 0;
}

TEST(Encoders, SameBitsOnEveryInstructionSetAndAmongOthers) {
  Texts texts(3);
  for (std::size_t text = 0; text < texts.size(); ++text) {
    for (std::size_t i = 0; i < 70 - 25 * text; ++i)
      texts[text].push_back(static_cast<std::int32_t>(uniform(text, 1, i) * kVocabulary));
  }
  for (const Family& family : kFamilies) {
    for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
      const TinyEncoder tiny(family.architecture, family.settings, dtype);
      EXPECT_EQ((*find_entry(tiny.checkpoint))->id, family.id);
      const std::vector<float> together = states_of(tiny.checkpoint, "ref", 1, texts);
      EXPECT_TRUE(std::isfinite(std::accumulate(together.begin(), together.end(), 0.0f))) << family.id;
      std::size_t at = 0;
      for (const auto& text : texts) {
        for (const char* isa : {"ref", "avx2", "avx512"}) {
          if (!ops::make_cpu_ops(isa, 1).ok()) continue;  // not on this machine
          EXPECT_TRUE(same_bits(together.data() + at, states_of(tiny.checkpoint, isa, 3, {text})))
              << family.id << " " << isa;
        }
        at += text.size() * kHidden;
      }
    }
  }
}

std::string refusal(const char* architecture, const char* settings) {
  const TinyEncoder tiny(architecture, settings, DType::kF32);
  const auto ops = std::move(ops::make_cpu_ops("ref", 1)).value();
  const auto plan = plan_model(tiny.checkpoint, *ops);
  return plan.ok() ? "" : plan.error().render();
}

TEST(Encoders, RefuseWhatTheyDoNotKnow) {
  const std::string nomic = kFamilies[2].settings, jina = kFamilies[1].settings;
  const auto with = [](const std::string& settings, const std::string& more) {
    return settings.substr(0, settings.rfind('}')) + ", " + more + "}";
  };
  const struct {
    const char* architecture;
    std::string settings;
    const char* named;
  } cases[] = {
      {"BertModel", with(kBert, R"("new_rope_kind": 3)"), "new_rope_kind"},
      {"BertModel", with(kBert, R"("position_embedding_type": "relative_key")"), "position_embedding_type"},
      {"NomicBertModel", with(nomic, R"("prenorm": true)"), "prenorm"},
      {"NomicBertModel", with(nomic, R"("rotary_emb_fraction": 0.5)"), "rotary_emb_fraction"},
      {"NomicBertModel", with(nomic, R"("num_experts": 8)"), "num_experts"},
      {"JinaBertModel", with(jina.substr(0, jina.rfind(',')) + "}", R"("feed_forward_type": "reglu")"),
       "feed_forward_type"},
  };
  for (const auto& c : cases) {
    EXPECT_NE(refusal(c.architecture, c.settings.c_str()).find(c.named), std::string::npos)
        << c.named << ": " << refusal(c.architecture, c.settings.c_str());
  }
}

TEST(DistanceSlopes, AreTheAuthors) {
  EXPECT_EQ(nn::distance_slopes(8),
            (std::vector<float>{0.5f, 0.25f, 0.125f, 0.0625f, 0.03125f, 0.015625f, 0.0078125f, 0.00390625f}));
  const std::vector<float> six = nn::distance_slopes(6);  // those of four, then every other of eight
  EXPECT_EQ(six, (std::vector<float>{0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f, 0.125f}));
}

}  // namespace
}  // namespace maestrale::models
