// Adapters on every matrix that a decoder's layers have, experts and latent attention among them: the same
// logits as with the change merged into the weights, and the same bits alone and among others.
#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "models/tiny_models.h"
#include "nn/names.h"

namespace maestrale::models {
namespace {

constexpr std::int64_t kRank = 3;

// A checkpoint whose values are its own, to change them.
struct Copy {
  explicit Copy(const files::Checkpoint& source) {
    checkpoint.path = source.path;
    checkpoint.dialect = source.dialect;
    checkpoint.metadata = source.metadata;
    for (TensorView tensor : source.tensors) {
      auto& values = storage.emplace_back(tensor.data.begin(), tensor.data.end());
      tensor.data = values;
      checkpoint.tensors.push_back(std::move(tensor));
    }
    checkpoint.index_tensors();
  }
  files::Checkpoint checkpoint;
  std::list<std::vector<std::byte>> storage;
};

bool is_changeable(const TensorView& tensor) {
  if (nn::layer_number(tensor.name) < 0 || !tensor.name.ends_with(".weight")) return false;
  // Latent attention's matrices of heads are changed as the one matrix that they are cut from.
  for (const char* other : {"norm", "conv1d", "attn_k_b", "attn_v_b"}) {
    if (tensor.name.find(other) != tensor.name.npos) return false;
  }
  return tensor.shape.size() == 2 || (tensor.shape.size() == 3 && tensor.name.ends_with("_exps.weight"));
}

// "model.layers.0.mlp.up_proj.weight" -> "layers.0.mlp.up_proj", as adapters call it.
std::string module_of(const std::string& tensor) {
  const std::size_t layers = tensor.find("layers.");
  const std::string tail = ".weight";
  const std::string name = layers == tensor.npos ? tensor : tensor.substr(layers);
  return name.substr(0, name.size() - tail.size());
}

// Changes of all that a checkpoint lets an adapter change.
struct MadeAdapter {
  MadeAdapter(const files::Checkpoint& base, std::uint64_t seed) : seed_(seed) {
    adapter.path = "made";
    adapter.gguf = base.dialect == files::Dialect::kGguf;
    adapter.alpha = 6;
    for (const TensorView& tensor : base.tensors) {
      if (!is_changeable(tensor)) continue;
      std::vector<std::int64_t> a = tensor.shape, b = tensor.shape;
      a[a.size() - 2] = b.back() = kRank;
      adapter.pairs[module_of(tensor.name)] = {.a = side(a), .b = side(b)};
    }
  }

  TensorView side(const std::vector<std::int64_t>& shape) {
    TensorView view{.name = "side", .dtype = DType::kF32, .shape = shape, .data = {}};
    auto& values = storage.emplace_back(static_cast<std::size_t>(view.elements()));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(0.08 * (2 * uniform(seed_, storage.size(), i) - 1));
    view.data = std::as_bytes(std::span<const float>(values));
    return view;
  }

  files::Adapter adapter;
  std::list<std::vector<float>> storage;

 private:
  std::uint64_t seed_;
};

const float* floats(const TensorView& tensor) { return reinterpret_cast<const float*>(tensor.data.data()); }

// W += strength · scale · B A, of a matrix or of each one of a stack.
void merge(const files::Adapter& adapter, float strength, files::Checkpoint& checkpoint) {
  for (const TensorView& tensor : checkpoint.tensors) {
    const auto found = adapter.pairs.find(module_of(tensor.name));
    if (found == adapter.pairs.end() || !tensor.name.ends_with(".weight")) continue;
    auto* w = reinterpret_cast<float*>(const_cast<std::byte*>(tensor.data.data()));
    const std::int64_t columns = tensor.columns(), rows = tensor.shape[tensor.shape.size() - 2];
    for (std::int64_t row = 0; row < tensor.rows(); ++row) {
      const float* a = floats(found->second.a) + row / rows * kRank * columns;
      const float* b = floats(found->second.b) + row * kRank;
      for (std::int64_t column = 0; column < columns; ++column) {
        double sum = 0;
        for (std::int64_t r = 0; r < kRank; ++r)
          sum += static_cast<double>(b[r]) * static_cast<double>(a[r * columns + column]);
        w[row * columns + column] += static_cast<float>(sum * adapter.scale(kRank) * strength);
      }
    }
  }
}

// Two adapters, of the strengths 1 and -0.5, beside a model and merged into it.
void expect_agreement(const files::Checkpoint& base) {
  MadeAdapter one(base, 1), two(base, 2);
  EXPECT_FALSE(one.adapter.pairs.empty());
  Copy merged(base), adapted(base);
  merge(one.adapter, 1, merged.checkpoint);
  merge(two.adapter, -0.5f, merged.checkpoint);
  adapted.checkpoint.adapters.push_back(std::move(one.adapter));
  adapted.checkpoint.adapters.push_back(std::move(two.adapter));
  Runner runner(adapted.checkpoint, {}, 2);
  const auto tokens = some_tokens(5);
  const std::vector<float> plain = runner.prompt(tokens, kTokens);
  EXPECT_TRUE(same_bits(plain, Runner(base, {}, 2).prompt(tokens, kTokens))) << "nobody wants an adapter";
  runner.want({{0, 1}, {1, -0.5f}});
  const std::vector<float> logits = runner.prompt(tokens, kTokens);
  EXPECT_TRUE(same_bits(logits, runner.prompt(tokens, 7))) << "in pieces";
  const std::vector<float> expected = Runner(merged.checkpoint, {}, 2).prompt(tokens, kTokens);
  EXPECT_GT(largest_difference(logits, plain), 0.05);
  EXPECT_LT(largest_difference(logits, expected), 5e-4);
}

class AdaptersOfDecoders : public testing::TestWithParam<Tiny> {};

TEST_P(AdaptersOfDecoders, AgreeWithMergedWeights) {
  expect_agreement(TinyCheckpoint(GetParam(), "f32").checkpoint);
}

TEST_P(AdaptersOfDecoders, GiveTheSameBitsAloneAndAmongOthers) {
  for (const char* format : {"f32", "q8_0"}) {
    const TinyCheckpoint base(GetParam(), format);
    MadeAdapter one(base.checkpoint, 1), two(base.checkpoint, 2);
    Copy adapted(base.checkpoint);
    adapted.checkpoint.adapters.push_back(std::move(one.adapter));
    adapted.checkpoint.adapters.push_back(std::move(two.adapter));
    Runner runner(adapted.checkpoint, {}, 2);
    const std::vector<std::vector<ops::AdapterChoice>> lists = {{}, {{0, 1}}, {{1, 1}, {0, 0.5f}}, {{0, 1}}};
    std::vector<std::vector<float>> alone;
    std::vector<std::int32_t> sequences;
    for (const auto& list : lists) {
      runner.want(list);
      alone.push_back(runner.prompt(some_tokens(6), kTokens));
    }
    EXPECT_FALSE(same_bits(alone[0], alone[1]));
    EXPECT_TRUE(same_bits(alone[1], alone[3]));
    for (std::size_t i = 0; i < lists.size(); ++i) sequences.push_back(runner.open());
    runner.want_by_row(lists);
    for (std::int32_t position = 0; position < kTokens; ++position) {
      const std::vector<std::int32_t> row(lists.size(), some_tokens(6)[static_cast<std::size_t>(position)]);
      const auto logits = runner.forward(row, std::vector<std::int32_t>(lists.size(), position), sequences);
      for (std::size_t i = 0; i < lists.size(); ++i) {
        ASSERT_EQ(std::memcmp(logits.data() + i * kVocabulary,
                              alone[i].data() + static_cast<std::size_t>(position) * kVocabulary,
                              kVocabulary * sizeof(float)),
                  0)
            << format << ", list " << i << ", position " << position;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Entries, AdaptersOfDecoders, testing::ValuesIn(kTiny),
                         [](const auto& info) { return std::string(info.param.id); });

struct Mixture {
  const char *id, *model_type;
};

class AdaptersOfGgufMixtures : public testing::TestWithParam<Mixture> {};

// Experts change as stacks.
TEST_P(AdaptersOfGgufMixtures, AgreeWithMergedWeights) {
  expect_agreement(as_gguf(convertible(GetParam().id, GetParam().model_type).checkpoint));
}

INSTANTIATE_TEST_SUITE_P(Families, AdaptersOfGgufMixtures,
                         testing::Values(Mixture{"deepseek", "deepseek_v3"}, Mixture{"gptoss", "gpt_oss"},
                                         Mixture{"grok", "git"}, Mixture{"llama4", "llama4_text"},
                                         Mixture{"mixtral", "mixtral"}, Mixture{"qwen3moe", "qwen3_moe"}),
                         [](const auto& info) { return std::string(info.param.id); });

// Mixtral's own names of its experts.
void rename_experts(files::Adapter& adapter) {
  std::map<std::string, files::LowRankPair> renamed;
  for (const auto& [module, pair] : adapter.pairs) {
    std::string name = module;
    for (const auto& [theirs, own] : {std::pair("gate_proj", "w1"), {"down_proj", "w2"}, {"up_proj", "w3"}}) {
      const std::size_t inside = name.find("mlp.experts."), at = name.find(theirs);
      if (inside == name.npos || at == name.npos) continue;
      name.replace(at, name.npos, own).replace(inside, 4, "block_sparse_moe.");
    }
    renamed[name] = pair;
  }
  EXPECT_TRUE(renamed.contains("layers.3.block_sparse_moe.experts.7.w2"));
  adapter.pairs = std::move(renamed);
}

// A PEFT folder beside a GGUF file changes its stacked experts one by one, and latent attention's heads.
TEST(Adapters, OfPeftBesideGguf) {
  for (const Mixture& family : {Mixture{"deepseek", "deepseek_v3"}, Mixture{"mixtral", "mixtral"}}) {
    const TinyCheckpoint base = convertible(family.id, family.model_type);
    MadeAdapter made(base.checkpoint, 3);
    Copy merged(base.checkpoint), gguf(as_gguf(base.checkpoint));
    merge(made.adapter, 1, merged.checkpoint);
    if (std::string_view(family.id) == "mixtral") rename_experts(made.adapter);
    gguf.checkpoint.adapters.push_back(std::move(made.adapter));
    Runner runner(gguf.checkpoint, {}, 2);
    runner.want({{0, 1}});
    EXPECT_LT(largest_difference(runner.prompt(some_tokens(5), kTokens),
                                 Runner(merged.checkpoint, {}, 2).prompt(some_tokens(5), kTokens)),
              5e-4)
        << family.id;
  }
}

// What loading says of an adapter that changes one module more, or that module alone.
std::string refusal(const files::Checkpoint& base, const char* module, const std::vector<std::int64_t>& a,
                    const std::vector<std::int64_t>& b, bool alone = false) {
  MadeAdapter made(base, 1);
  if (alone) made.adapter.pairs.clear();
  made.adapter.pairs[module] = {.a = made.side(a), .b = made.side(b)};
  Copy copy(base);
  copy.checkpoint.adapters.push_back(std::move(made.adapter));
  try {
    Runner(copy.checkpoint, {}, 1);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "loaded";
}

void expect_words(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words) EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
}

TEST(Adapters, OfOtherMixturesAreRefusedByName) {
  const TinyCheckpoint mixtral = convertible("mixtral", "mixtral");
  const TinyCheckpoint deepseek = convertible("deepseek", "deepseek_v3");
  const files::Checkpoint gguf = as_gguf(mixtral.checkpoint);
  expect_words(refusal(mixtral.checkpoint, "layers.0.mlp.experts.8.gate_proj", {3, 64}, {96, 3}),
               {"changes 'layers.0.mlp.experts.8.gate_proj'", "another base"});
  expect_words(refusal(mixtral.checkpoint, "layers.1.mlp.experts.7.down_proj", {3, 64}, {96, 3}),
               {"'layers.1.mlp.experts.7.down_proj' has the wrong shape", "expected [64, 96]", "[96, 64]"});
  expect_words(refusal(mixtral.checkpoint, "layers.0.block_sparse_moe.experts.1.w1", {3, 64}, {96, 3}),
               {"changes 'layers.0.mlp.experts.1.gate_proj'"});
  expect_words(refusal(deepseek.checkpoint, "layers.0.self_attn.kv_b_proj", {3, 32}, {128, 3}),
               {"kv_b_proj' has the wrong shape"});
  expect_words(refusal(gguf, "blk.0.ffn_gate.1", {3, 64}, {96, 3}), {"one matrix under two names"});
  expect_words(refusal(gguf, "blk.4.ffn_gate_exps", {8, 3, 64}, {8, 96, 3}), {"blk.4.ffn_gate_exps"});
}

TEST(Adapters, OfStacksMustFit) {
  const files::Checkpoint gguf = as_gguf(convertible("mixtral", "mixtral").checkpoint);
  expect_words(refusal(gguf, "blk.0.ffn_up_exps", {7, 3, 64}, {7, 96, 3}, true),
               {"'blk.0.ffn_up_exps'", "[8, 96, 64]", "[7, 96, 64]"});
  expect_words(refusal(gguf, "blk.0.ffn_up_exps", {3, 64}, {96, 3}, true),
               {"'blk.0.ffn_up_exps'", "[8, 96, 64]", "[96, 64]"});
  expect_words(refusal(gguf, "blk.0.attn_q", {8, 3, 64}, {8, 128, 3}, true), {"'blk.0.attn_q'", "[128, 64]"});
  EXPECT_EQ(refusal(gguf, "blk.0.ffn_up_exps", {8, 3, 64}, {8, 96, 3}, true), "loaded");
}

}  // namespace
}  // namespace maestrale::models
