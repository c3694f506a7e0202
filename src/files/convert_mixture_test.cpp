// Mixtures and latent attention written as GGUF, against the files that llama.cpp's own tools made of the
// same weights.
#include <gtest/gtest.h>

#include <set>

#include "files/convert.h"
#include "files/gguf_reader.h"
#include "files/test_support.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

std::vector<float> values(const TensorView& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
  traits(tensor.dtype).dequantise(tensor.data.data(), out.data(), tensor.elements());
  return out;
}

Checkpoint opened(const fs::path& path) {
  auto checkpoint = open_checkpoint(path, {.load_tokenizer = false});
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().render();
  return checkpoint.ok() ? std::move(*checkpoint) : Checkpoint();
}

struct Case {
  const char *name, *source;
  // Keys that differ for a reason, and keys that ours has and theirs leaves to the reader.
  std::set<std::string_view> other, more;
};

const std::set<std::string_view> kSizes = {"attention.key_length", "attention.value_length",
                                           "rope.dimension_count", "vocab_size"};

class MixtureConversion : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    golden_ = shared_folder(std::string("golden/arch/") + GetParam().name);
    if (golden_.empty()) GTEST_SKIP() << "no shared data";
    folder_ = fresh_folder(std::string("mixture_") + GetParam().name + GetParam().source);
  }

  fs::path convert(const std::string& type) {
    const fs::path target = folder_ / ("model" + type + ".gguf");
    const auto report = convert_checkpoint(golden_ / GetParam().source, target, {.type = type, .threads = 2});
    EXPECT_TRUE(report.ok()) << report.error().render();
    return target;
  }
  fs::path golden_, folder_;
};

TEST_P(MixtureConversion, HoldsTheSameTensors) {
  const Checkpoint theirs = opened(golden_ / "model.gguf");
  for (const char* type : {"", "f32", "f16"}) {
    const Checkpoint ours = opened(convert(type));
    EXPECT_EQ(ours.tensors.size(), theirs.tensors.size());
    for (const TensorView& expected : theirs.tensors) {
      const TensorView* found = ours.find(expected.name);
      ASSERT_NE(found, nullptr) << expected.name;
      EXPECT_EQ(found->shape, expected.shape) << expected.name;
      EXPECT_EQ(values(*found), values(expected)) << expected.name << " " << type;
    }
  }
}

TEST_P(MixtureConversion, SaysTheSameOfThem) {
  const Checkpoint theirs = opened(golden_ / "model.gguf"), ours = opened(convert(""));
  const std::string prefix = std::string(theirs.metadata.at("general.architecture").as_string()) + ".";
  EXPECT_EQ(ours.metadata.at("general.architecture"), theirs.metadata.at("general.architecture"));
  for (const auto& [key, value] : theirs.metadata) {
    const std::string_view name(key.data(), key.size());
    if (!name.starts_with(prefix) || GetParam().other.contains(name.substr(prefix.size()))) continue;
    ASSERT_TRUE(ours.metadata.contains(name)) << name;
    EXPECT_EQ(ours.metadata.at(name), value) << name;
  }
  for (const auto& [key, value] : ours.metadata) {
    const std::string_view name(key.data(), key.size());
    if (!name.starts_with(prefix) || theirs.metadata.contains(name)) continue;
    const std::string_view local = name.substr(prefix.size());
    EXPECT_TRUE(kSizes.contains(local) || GetParam().more.contains(local)) << name;
  }
}

// From the source or from the file made of it: the same numbers.
TEST_P(MixtureConversion, QuantisesAsFromGguf) {
  for (const char* type : {"q8_0", "q4_k_m", "q5_0"}) {
    const Checkpoint ours = opened(convert(type));
    const fs::path again = folder_ / ("again" + std::string(type) + ".gguf");
    const auto report = convert_checkpoint(golden_ / "model.gguf", again, {.type = type, .threads = 2});
    ASSERT_TRUE(report.ok()) << report.error().render();
    for (const TensorView& expected : opened(again).tensors) {
      const TensorView* found = ours.find(expected.name);
      ASSERT_NE(found, nullptr) << expected.name;
      EXPECT_EQ(found->dtype, expected.dtype) << expected.name;
      EXPECT_EQ(values(*found), values(expected)) << expected.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Golden, MixtureConversion,
    testing::Values(Case{"mixtral-A", "hf", {}, {}}, Case{"mixtral-A", "native", {"context_length"}, {}},
                    Case{"qwen3moe-A", "hf", {}, {}}, Case{"gptoss-A", "hf", {}, {}},
                    Case{"llama4-A", "hf", {}, {"attention.chunk_size"}}, Case{"grok1-A", "hf", {}, {}},
                    Case{"grok2-A", "hf", {}, {}}, Case{"deepseek2lite-A", "hf", {}, {}},
                    Case{"deepseek3-A", "hf", {}, {}}, Case{"deepseek3fp8-A", "hf", {}, {}},
                    // llama.cpp multiplies scores by a magnitude that apply_scale: false rules out; without
                    // this key it does not.
                    Case{"mistrallarge3-A", "native", {"rope.scaling.yarn_log_multiplier"}, {}}),
    [](const auto& info) {
      const std::string name = info.param.name;
      return name.substr(0, name.find('-')) + "_" + info.param.source;
    });

TEST(ConvertMixture, RefusesByName) {
  const fs::path golden = shared_folder("golden/arch");
  if (golden.empty()) GTEST_SKIP() << "no shared data";
  const fs::path folder = fresh_folder("mixture_refusals");
  const auto refusal = [&](const char* source, auto change) {
    Checkpoint checkpoint = opened(golden / source);
    change(checkpoint);
    checkpoint.index_tensors();
    const auto report = convert_checkpoint(checkpoint, folder / "out.gguf", {});
    return report.ok() ? std::string("converted") : report.error().render();
  };
  const auto setting = [&](const char* source, const char* key, json::value value) {
    return refusal(source, [&](Checkpoint& checkpoint) {
      json::value* inner = checkpoint.metadata.if_contains("text_config");
      (inner != nullptr ? inner->as_object() : checkpoint.metadata)[key] = value;
    });
  };
  EXPECT_NE(setting("qwen3moe-A/hf", "norm_topk_prob", false).find("norm_topk_prob"), std::string::npos);
  EXPECT_NE(setting("qwen3moe-A/hf", "decoder_sparse_step", 2).find("decoder_sparse_step"),
            std::string::npos);
  EXPECT_NE(setting("deepseek3-A/hf", "scoring_func", "tanh").find("scoring_func"), std::string::npos);
  EXPECT_NE(setting("deepseek3-A/hf", "moe_layer_freq", 2).find("moe_layer_freq"), std::string::npos);
  EXPECT_NE(setting("gptoss-A/hf", "swiglu_limit", 9.0).find("swiglu_limit"), std::string::npos);
  EXPECT_NE(setting("gptoss-A/hf", "layer_types", json::array{"full_attention"}).find("layer_types"),
            std::string::npos);
  EXPECT_NE(setting("llama4-A/hf", "no_rope_layers", json::array{1, 0, 1, 0}).find("no_rope_layers"),
            std::string::npos);
  EXPECT_NE(setting("grok2-A/hf", "sliding_window_size", 64).find("sliding_window_size"), std::string::npos);
  EXPECT_NE(setting("mixtral-A/hf", "num_local_experts", 9).find("missing"), std::string::npos);
  EXPECT_NE(setting("mixtral-A/hf", "hidden_act", "relu").find("relu"), std::string::npos);
  const std::string cut = refusal("mixtral-A/hf", [](Checkpoint& checkpoint) {
    std::erase_if(checkpoint.tensors, [](const TensorView& tensor) {
      return tensor.name == "model.layers.1.block_sparse_moe.experts.3.w2.weight";
    });
  });
  EXPECT_NE(cut.find("blk.1.ffn_down_exps.weight"), std::string::npos) << cut;
  EXPECT_NE(cut.find("expert 3"), std::string::npos) << cut;
  const std::string scales = refusal("deepseek3fp8-A/hf", [](Checkpoint& checkpoint) {
    std::erase_if(checkpoint.tensors, [](const TensorView& tensor) {
      return tensor.name.ends_with("kv_b_proj.weight_scale_inv");
    });
  });
  EXPECT_NE(scales.find("weight_scale_inv"), std::string::npos) << scales;
  EXPECT_FALSE(fs::exists(folder / "out.gguf"));
}

TEST(ConvertMixture, GoesToGgufOnly) {
  const fs::path golden = shared_folder("golden/arch");
  if (golden.empty()) GTEST_SKIP() << "no shared data";
  const auto report = convert_checkpoint(golden / "mixtral-A/native", fresh_folder("mixture_folder") / "out",
                                         {.container = Container::kSafetensors, .type = ""});
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().render().find("GGUF"), std::string::npos);
}

}  // namespace
}  // namespace maestrale::files
