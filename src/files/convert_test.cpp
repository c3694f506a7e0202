#include "files/convert.h"

#include <gtest/gtest.h>

#include <cmath>

#include "files/checkpoint.h"
#include "files/gguf_reader.h"
#include "files/gguf_writer.h"
#include "files/quant_mix.h"
#include "files/safetensors_writer.h"
#include "files/tensor_names.h"
#include "files/test_support.h"
#include "files/vocabulary_source.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr OpenOptions kWeightsOnly{.load_tokenizer = false};

std::vector<float> values(const TensorView& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
  traits(tensor.dtype).dequantise(tensor.data.data(), out.data(), tensor.elements());
  return out;
}

// By its place in the model: folders differ in what they put before "model.".
const TensorView* counterpart(const Checkpoint& in, const Checkpoint& of, const TensorView& tensor) {
  const auto canonical = canonical_tensor_name(of.dialect, tensor.name);
  for (const TensorView& candidate : in.tensors) {
    if (canonical && canonical_tensor_name(in.dialect, candidate.name) == canonical) return &candidate;
  }
  return in.find(tensor.name);
}

// Both files hold the same tensors with the same numbers.
void expect_same_numbers(const fs::path& ours, const fs::path& theirs) {
  const auto a = open_checkpoint(ours, kWeightsOnly), b = open_checkpoint(theirs, kWeightsOnly);
  ASSERT_TRUE(a.ok()) << a.error().render();
  ASSERT_TRUE(b.ok()) << b.error().render();
  EXPECT_EQ(a->tensors.size(), b->tensors.size()) << ours;
  for (const TensorView& expected : b->tensors) {
    const TensorView* found = counterpart(*a, *b, expected);
    ASSERT_NE(found, nullptr) << expected.name;
    EXPECT_EQ(found->shape, expected.shape) << expected.name;
    if (expected.name == "rope_freqs.weight") {
      const auto x = values(*found), y = values(expected);
      for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 1e-5f * y[i]);
    } else {
      EXPECT_EQ(values(*found), values(expected)) << expected.name;
    }
  }
}

ConvertReport convert(const fs::path& source, const fs::path& target, Container container,
                      const std::string& type = "") {
  ConvertOptions options{.container = container, .type = type, .threads = 2};
  auto report = convert_checkpoint(source, target, options);
  EXPECT_TRUE(report.ok()) << report.error().render();
  return report.ok() ? *report : ConvertReport{};
}

class GoldenConversion : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    golden_ = shared_folder(std::string("golden/arch/") + GetParam());
    if (golden_.empty()) GTEST_SKIP() << "no shared data";
    folder_ = fresh_folder(std::string("convert_") + GetParam());
  }
  fs::path golden_, folder_;
};

TEST_P(GoldenConversion, ToGgufAndBackHoldsTheSameNumbers) {
  const fs::path gguf = folder_ / "model.gguf";
  const ConvertReport report = convert(golden_ / "hf", gguf, Container::kGguf);
  EXPECT_EQ(report.tokenizer_problem, "");
  expect_same_numbers(gguf, golden_ / "model.gguf");
  convert(golden_ / "model.gguf", folder_ / "hf", Container::kSafetensors);
  expect_same_numbers(folder_ / "hf", golden_ / "hf");
  convert(folder_ / "hf", folder_ / "again.gguf", Container::kGguf);
  expect_same_numbers(folder_ / "again.gguf", golden_ / "model.gguf");
  if (!fs::exists(golden_ / "native")) return;
  convert(golden_ / "native", folder_ / "native.gguf", Container::kGguf);
  expect_same_numbers(folder_ / "native.gguf", golden_ / "model.gguf");
  convert(golden_ / "native", folder_ / "native", Container::kSafetensors);
  expect_same_numbers(folder_ / "native", golden_ / "hf");
}

TEST_P(GoldenConversion, CarriesKeysAndVocabulary) {
  const fs::path gguf = folder_ / "model.gguf";
  convert(golden_ / "hf", gguf, Container::kGguf);
  const MappedFile ours = MappedFile::open(gguf).value(),
                   theirs = MappedFile::open(golden_ / "model.gguf").value();
  const GgufFile a = parse_gguf(ours.bytes(), "ours").value(),
                 b = parse_gguf(theirs.bytes(), "theirs").value();
  EXPECT_EQ(a.vocabulary.model, b.vocabulary.model);
  EXPECT_EQ(a.vocabulary.pre, b.vocabulary.pre);
  EXPECT_EQ(a.vocabulary.tokens, b.vocabulary.tokens);
  EXPECT_EQ(a.vocabulary.token_types, b.vocabulary.token_types);
  EXPECT_EQ(a.vocabulary.merges, b.vocabulary.merges);
  EXPECT_EQ(a.vocabulary.bos, b.vocabulary.bos);
  EXPECT_EQ(a.vocabulary.eos, b.vocabulary.eos);
  EXPECT_EQ(a.vocabulary.add_bos, b.vocabulary.add_bos);
  for (const auto& [key, value] : b.metadata) {
    const std::string_view name = key;
    if (name.starts_with("general.") || name.starts_with("tokenizer.")) continue;
    ASSERT_TRUE(a.metadata.contains(name)) << name;
    EXPECT_EQ(a.metadata.at(name), value) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, GoldenConversion,
                         testing::Values("llama2-A", "mistral7b-A", "qwen3-A", "qwen2-A", "nemo-A",
                                         "llama31-A", "ministral3-A"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name.substr(0, name.find('-'));
                         });

TEST(Convert, TakesLlama2cModels) {
  const fs::path models = shared_folder("data/models");
  if (models.empty()) GTEST_SKIP() << "no shared data";
  const fs::path folder = fresh_folder("llama2c");
  const ConvertReport report = convert(models / "stories260K.bin", folder / "stories.gguf", Container::kGguf);
  EXPECT_EQ(report.tokenizer_problem, "");
  const auto ours = open_checkpoint(folder / "stories.gguf", kWeightsOnly);
  const auto theirs = open_checkpoint(models / "stories260K.gguf", kWeightsOnly);
  ASSERT_TRUE(ours.ok() && theirs.ok());
  for (const TensorView& tensor : ours->tensors) {
    const TensorView* other = theirs->find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_EQ(values(tensor), values(*other)) << tensor.name;
  }
  convert(models / "stories260K_q80.bin", folder / "q80.gguf", Container::kGguf);
  const auto grouped = open_checkpoint(folder / "q80.gguf", kWeightsOnly);
  ASSERT_TRUE(grouped.ok());
  for (const TensorView& tensor : ours->tensors) {
    const auto exact = values(tensor), rounded = values(*grouped->find(tensor.name));
    for (std::size_t i = 0; i < exact.size(); ++i) ASSERT_NEAR(exact[i], rounded[i], 0.02f) << tensor.name;
  }
}

TEST(Convert, QuantisesAndKeepsTheKeys) {
  const fs::path golden = shared_folder("golden/arch/llama31-A");
  if (golden.empty()) GTEST_SKIP() << "no shared data";
  const fs::path folder = fresh_folder("quantise");
  for (const std::string_view type : quant_mix_names()) {
    const fs::path target = folder / (std::string(type) + ".gguf");
    convert(golden / "model.gguf", target, Container::kGguf, std::string(type));
    const auto opened = open_checkpoint(target, kWeightsOnly);
    ASSERT_TRUE(opened.ok()) << opened.error().render();
    const QuantMix mix = quant_mix(type).value();
    EXPECT_EQ(JsonFields(opened->metadata, "").integer("general.file_type").value(), mix.file_type);
    EXPECT_EQ(opened->find("blk.0.attn_norm.weight")->dtype, DType::kF32);
    const DType expected = traits(mix.base).block_elements <= 32 ? mix.base : DType::kF16;
    if (traits(mix.base).block_elements <= 32) {
      EXPECT_EQ(opened->find("blk.0.ffn_gate.weight")->dtype, expected);
    }
  }
  const auto again = convert_checkpoint(golden / "model.gguf", folder / "q8_0.gguf", {});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().kind, ErrorKind::kUsage);
}

TEST(Convert, ResultsDoNotDependOnThreads) {
  const fs::path golden = shared_folder("golden/arch/llama2-A");
  if (golden.empty()) GTEST_SKIP() << "no shared data";
  const fs::path folder = fresh_folder("threads");
  for (const int threads : {1, 3}) {
    const ConvertOptions options{.type = "q5_0", .threads = threads};
    ASSERT_TRUE(convert_checkpoint(golden / "hf", folder / std::to_string(threads), options).ok());
  }
  EXPECT_EQ(read_file(folder / "1", 1 << 30).value(), read_file(folder / "3", 1 << 30).value());
}

TEST(Convert, RefusesByName) {
  const fs::path golden = shared_folder("golden/arch");
  if (golden.empty()) GTEST_SKIP() << "no shared data";
  const fs::path folder = fresh_folder("refusals");
  const auto error_of = [&](const char* source, const ConvertOptions& options) {
    const auto report = convert_checkpoint(golden / source, folder / "out", options);
    return report.ok() ? std::string("converted") : report.error().render();
  };
  EXPECT_NE(error_of("gemma2-A/hf", {}).find("gemma2"), std::string::npos);
  EXPECT_NE(error_of("deepseek3fp8-A/hf", {.container = Container::kSafetensors, .type = ""}).find("FP8"),
            std::string::npos);
  EXPECT_NE(error_of("llama2-A/hf", {.type = "q9"}).find("q4_k_m"), std::string::npos);
  EXPECT_NE(error_of("llama2-A/hf", {.container = Container::kSafetensors, .type = "q4_0"})
                .find("f32, f16 or bf16"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(Convert, GivesPlaceholderTokensToWhatComesFromNoFile) {
  const fs::path golden = shared_folder("golden/arch");
  if (golden.empty()) GTEST_SKIP() << "no shared data";
  Checkpoint checkpoint = open_checkpoint(golden / "llama2-A/hf", {.load_tokenizer = false}).value();
  const auto mappings = std::exchange(checkpoint.mappings, {});  // the weights stay, the files are unknown
  checkpoint.tokenizer_problem = "no file";
  const fs::path folder = fresh_folder("placeholders");
  const auto report = convert_checkpoint(checkpoint, folder / "out.gguf", {});
  ASSERT_TRUE(report.ok()) << report.error().render();
  EXPECT_EQ(report->tokenizer_problem, "no file; its tokens are placeholders");
  const auto back = open_checkpoint(folder / "out.gguf");
  ASSERT_TRUE(back.ok()) << back.error().render();
  ASSERT_NE(back->tokenizer, nullptr) << back->tokenizer_problem;
  EXPECT_EQ(back->tokenizer->size(), checkpoint.metadata.at("vocab_size").to_number<std::int64_t>());
  const auto refused =
      convert_checkpoint(checkpoint, folder / "out", {.container = Container::kSafetensors, .type = ""});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().what, "only a GGUF file can be made of this");
}

TEST(QuantMix, FollowsThePublishedRules) {
  const MixContext context{.layers = 32, .queries_per_key = 4, .experts = 0, .has_output = true};
  struct Row {
    const char *mix, *tensor;
    std::int64_t columns;
    DType expected;
  };
  const Row rows[] = {
      {"q4_k_m", "output.weight", 4096, DType::kQ6_K},
      {"q4_k_m", "token_embd.weight", 4096, DType::kQ4_K},
      {"q4_k_m", "blk.0.attn_v.weight", 4096, DType::kQ6_K},
      {"q4_k_m", "blk.4.attn_v.weight", 4096, DType::kQ4_K},
      {"q4_k_m", "blk.6.ffn_down.weight", 14336, DType::kQ6_K},
      {"q4_k_m", "blk.5.ffn_down.weight", 14336, DType::kQ4_K},
      {"q4_k_m", "blk.31.ffn_down.weight", 14336, DType::kQ6_K},
      {"q4_k_s", "blk.3.attn_v.weight", 4096, DType::kQ5_K},
      {"q4_k_s", "blk.4.attn_v.weight", 4096, DType::kQ4_K},
      {"q5_k_m", "blk.0.attn_q.weight", 4096, DType::kQ5_K},
      {"q2_k", "blk.0.attn_v.weight", 4096, DType::kQ4_K},
      {"q2_k", "blk.0.attn_output.weight", 4096, DType::kQ3_K},
      {"q3_k_m", "blk.1.ffn_down.weight", 4096, DType::kQ5_K},
      {"q3_k_m", "blk.2.ffn_down.weight", 4096, DType::kQ4_K},
      {"q3_k_l", "blk.9.attn_output.weight", 4096, DType::kQ5_K},
      {"q8_0", "output.weight", 4096, DType::kQ8_0},
      {"q4_0", "output.weight", 4096, DType::kQ6_K},
      {"q4_0", "output.weight", 4128, DType::kQ8_0},
      {"q4_k_m", "blk.5.ffn_up.weight", 4128, DType::kQ5_0},
      {"q6_k", "blk.5.ffn_up.weight", 4128, DType::kQ8_0},
      {"q2_k", "blk.5.ffn_up.weight", 4128, DType::kIQ4_NL},
      {"q4_0", "blk.5.ffn_up.weight", 4100, DType::kF16},
      {"bf16", "output.weight", 4100, DType::kBF16},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(mix_type(quant_mix(row.mix).value(), row.tensor, row.columns, context), row.expected)
        << row.mix << " " << row.tensor << " " << row.columns;
  }
  EXPECT_FALSE(is_quantised_by_mix("blk.0.attn_norm.weight", 1));
  EXPECT_FALSE(is_quantised_by_mix("blk.0.attn_q.bias", 1));
  EXPECT_FALSE(is_quantised_by_mix("blk.0.ffn_gate_inp.weight", 2));
  EXPECT_TRUE(is_quantised_by_mix("blk.0.ffn_gate_exps.weight", 3));
}

TEST(TensorNames, TranslateBothWays) {
  const std::pair<const char*, const char*> pairs[] = {
      {"model.layers.12.self_attn.q_proj.bias", "blk.12.attn_q.bias"},
      {"model.language_model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"},
      {"language_model.lm_head.weight", "output.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"model.layers.3.mlp.experts.17.up_proj.weight", "blk.3.ffn_up.17.weight"},
      {"model.layers.3.mlp.gate.e_score_correction_bias", "blk.3.exp_probs_b.bias"},
      {"model.layers.3.mlp.experts.gate_up_proj_blocks", "blk.3.ffn_gate_up_fused_blocks.weight"},
      {"transformer.decoder_layer.2.moe.1.linear_v.weight", "blk.2.ffn_up.1.weight"},
      {"model.layers.0.self_attn.kv_a_proj_with_mqa.weight", "blk.0.attn_kv_a_mqa.weight"},
  };
  for (const auto& [published, canonical] : pairs) {
    EXPECT_EQ(canonical_tensor_name(Dialect::kHuggingFace, published), canonical);
  }
  EXPECT_EQ(published_tensor_name(Dialect::kMistral, "blk.3.ffn_up.weight"),
            "layers.3.feed_forward.w3.weight");
  EXPECT_FALSE(canonical_tensor_name(Dialect::kHuggingFace, "model.layers.x.self_attn.q_proj.weight"));
  EXPECT_FALSE(canonical_tensor_name(Dialect::kHuggingFace, "model.layers.0.mlp.experts.0.side_proj.weight"));
  EXPECT_EQ(published_layer(Dialect::kHuggingFace, "model.layers.61.shared_head.norm.weight"), 61);
  EXPECT_EQ(published_layer(Dialect::kHuggingFace, "model.norm.weight"), -1);
  EXPECT_FALSE(canonical_tensor_name(Dialect::kGguf, "blk.0."));
}

TEST(Writers, LeaveNothingBehindWhenTheyAreNotFinished) {
  const fs::path folder = fresh_folder("writers");
  const std::vector<TensorDeclaration> tensors = {{"a", DType::kF32, {2, 3}}, {"b", DType::kBF16, {5}}};
  { EXPECT_TRUE(GgufWriter::create(folder / "half.gguf", {}, tensors).ok()); }
  EXPECT_TRUE(fs::is_empty(folder));
  const std::vector<TensorDeclaration> unknown = {{"a", DType::kF8E4M3, {2}}};
  EXPECT_FALSE(GgufWriter::create(folder / "f8.gguf", {}, unknown).ok());
  const std::vector<TensorDeclaration> blocks = {{"a", DType::kQ4_0, {32}}};
  EXPECT_FALSE(SafetensorsWriter::create(folder / "q4", blocks).ok());
  const std::vector<TensorDeclaration> broken = {{"a", DType::kQ4_0, {31}}};
  EXPECT_FALSE(GgufWriter::create(folder / "broken.gguf", {}, broken).ok());
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST(Vocabulary, OfMistralsSentencePieceAgreesWithItsTokenizer) {
  const fs::path folder = shared_folder("data/tokenizers/mistral");
  if (folder.empty()) GTEST_SKIP() << "no shared data";
  const std::string bytes = read_file(folder / "tokenizer.model.v1", 1 << 30).value();
  const auto vocabulary = vocabulary_from_sentencepiece(bytes, "v1");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.error().render();
  EXPECT_EQ(vocabulary->tokens.size(), 32000u);
  EXPECT_EQ(vocabulary->bos, 1);
  EXPECT_EQ(vocabulary->tokens[3], "<0x00>");
  EXPECT_EQ(vocabulary->token_types[3], 6);
  const auto json = tokenizer_json_from(*vocabulary, "v1");
  ASSERT_TRUE(json.ok()) << json.error().render();
  const auto back = vocabulary_from_json(*json, "", "back");
  ASSERT_TRUE(back.ok()) << back.error().render();
  EXPECT_EQ(back->tokens, vocabulary->tokens);
  EXPECT_EQ(back->token_types, vocabulary->token_types);
  // One id per special token: a list of `bos` nulls was written here once.
  const json::value tree = parse_json(*json, "tokenizer.json").value();
  const json::value& ids = tree.at("post_processor").at("special_tokens").at("<s>").at("ids");
  EXPECT_EQ(ids, json::value(json::array({json::value(1)})));
}

}  // namespace
}  // namespace maestrale::files
