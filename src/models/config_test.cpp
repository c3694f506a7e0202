#include "models/config.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace maestrale::models {
namespace {

constexpr Key kLayers = keys::kLayers;

files::Checkpoint checkpoint(files::Dialect dialect, json::object metadata) {
  files::Checkpoint made;
  made.dialect = dialect;
  made.path = "made";
  made.metadata = std::move(metadata);
  made.tensors.push_back({.name = dialect == files::Dialect::kGguf      ? "token_embd.weight"
                                  : dialect == files::Dialect::kMistral ? "tok_embeddings.weight"
                                                                        : "model.embed_tokens.weight",
                          .dtype = DType::kF32,
                          .shape = {320, 64},
                          .data = {}});
  made.index_tensors();
  return made;
}

files::Checkpoint hugging_face(json::object metadata) {
  return checkpoint(files::Dialect::kHuggingFace, std::move(metadata));
}

std::string size_error(json::value value) {
  const files::Checkpoint made = hugging_face({{"num_hidden_layers", std::move(value)}});
  const Result<std::int64_t> size = ConfigReader::open(made)->size(kLayers);
  return size.ok() ? "no error" : size.error().render();
}

TEST(ConfigReader, OneQuestionInEveryDialect) {
  const files::Checkpoint made[] = {
      checkpoint(files::Dialect::kGguf, {{"general.architecture", "llama"}, {"llama.block_count", 7}}),
      checkpoint(files::Dialect::kMistral, {{"n_layers", 7}}), hugging_face({{"num_hidden_layers", 7}}),
      hugging_face({{"text_config", json::object{{"num_hidden_layers", 7}}}}),
      checkpoint(files::Dialect::kLlama2c, {{"n_layers", 7}})};
  for (const files::Checkpoint& each : made) {
    const auto config = ConfigReader::open(each);
    ASSERT_TRUE(config.ok()) << config.error().render();
    EXPECT_EQ(config->size(kLayers).value(), 7);
    EXPECT_EQ(config->size_or(keys::kHeads, 3).value(), 3);
  }
}

TEST(ConfigReader, ASizeIsAPositiveIntegerAndHasNoDefault) {
  EXPECT_EQ(size_error(1), "no error");
  EXPECT_EQ(size_error(2147483647), "no error");
  EXPECT_NE(size_error(0).find("out of range"), std::string::npos);
  EXPECT_NE(size_error(-5).find("out of range"), std::string::npos);
  EXPECT_NE(size_error(2147483648).find("out of range"), std::string::npos);
  for (const json::value& wrong : {json::value("12"), json::value(1.5), json::value(json::array{}),
                                   json::value(true), json::value(18446744073709551615u)}) {
    EXPECT_NE(size_error(wrong), "no error");
    EXPECT_NE(size_error(wrong).find("num_hidden_layers"), std::string::npos);
  }
  const files::Checkpoint empty = hugging_face({});
  const auto missing = ConfigReader::open(empty)->size(kLayers);
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().render().find("num_hidden_layers"), std::string::npos);
}

TEST(ConfigReader, NumbersArePositiveAndFinite) {
  for (const json::value& wrong : {json::value(0), json::value(-1e-5), json::value(1e300), json::value("x"),
                                   json::value(json::object{})}) {
    const files::Checkpoint made = hugging_face({{"rms_norm_eps", wrong}});
    EXPECT_FALSE(ConfigReader::open(made)->positive(keys::kEps).ok());
  }
  const files::Checkpoint made = hugging_face({{"rms_norm_eps", 1e-5}});
  EXPECT_EQ(ConfigReader::open(made)->positive(keys::kEps).value(), 1e-5);
}

TEST(ConfigReader, TheVocabularyMustAgreeWithTheTable) {
  const files::Checkpoint silent = hugging_face({}), right = hugging_face({{"vocab_size", 320}});
  EXPECT_EQ(ConfigReader::open(silent)->vocabulary().value(), 320);
  EXPECT_EQ(ConfigReader::open(right)->vocabulary().value(), 320);
  const files::Checkpoint wrong = hugging_face({{"vocab_size", 321}});
  const auto mismatch = ConfigReader::open(wrong)->vocabulary();
  ASSERT_FALSE(mismatch.ok());
  EXPECT_NE(mismatch.error().render().find("321 rows"), std::string::npos) << mismatch.error().render();
  files::Checkpoint bare = hugging_face({});
  bare.tensors.clear();
  bare.index_tensors();
  EXPECT_FALSE(ConfigReader::open(bare)->vocabulary().ok());
}

TEST(ConfigReader, RefusesSettingsThatWouldChangeTheMathematics) {
  constexpr std::array<std::string_view, 1> kUnderstood = {"rope_theta"};
  const auto refusal = [&](json::object metadata) {
    const files::Checkpoint made = hugging_face(std::move(metadata));
    const Status status = ConfigReader::open(made)->refuse_unknown(kUnderstood);
    return status.ok() ? std::string() : status.error().what;
  };
  EXPECT_EQ(
      refusal(
          {{"rope_theta", 1e4}, {"use_cache", true}, {"bos_token_id", 1}, {"logit_softcapping", nullptr}}),
      "");
  EXPECT_EQ(refusal({{"attention_bias", false}}), "");
  EXPECT_NE(refusal({{"attention_bias", true}}).find("attention_bias"), std::string::npos);
  EXPECT_NE(refusal({{"final_logit_softcapping", 30.0}}).find("final_logit_softcapping"), std::string::npos);
  EXPECT_NE(refusal({{"num_local_experts", 8}}).find("num_local_experts"), std::string::npos);
}

TEST(ConfigReader, RequiredWords) {
  const files::Checkpoint made = hugging_face({{"hidden_act", "gelu"}, {"mlp_bias", true}, {"other", 5}});
  const ConfigReader config = ConfigReader::open(made).value();
  EXPECT_TRUE(config.require_string("absent", "silu").ok());
  EXPECT_TRUE(config.require_false("absent").ok());
  EXPECT_FALSE(config.require_string("hidden_act", "silu").ok());
  EXPECT_FALSE(config.require_string("other", "silu").ok());
  EXPECT_FALSE(config.require_false("mlp_bias").ok());
  EXPECT_FALSE(config.require_false("other").ok());
}

TEST(ConfigReader, AGgufMustNameItsArchitecture) {
  EXPECT_FALSE(ConfigReader::open(checkpoint(files::Dialect::kGguf, {})).ok());
  EXPECT_FALSE(ConfigReader::open(checkpoint(files::Dialect::kGguf, {{"general.architecture", 3}})).ok());
}

std::string rope_error(json::object metadata) {
  const files::Checkpoint made = hugging_face(std::move(metadata));
  const ConfigReader config = ConfigReader::open(made).value();
  const auto rope = read_rope(config, 10000);
  return rope.ok() ? std::string() : rope.error().render();
}

TEST(Rope, RefusesWhatItsFormulasCannotTake) {
  const auto scaled = [](json::object scaling) { return rope_error({{"rope_scaling", std::move(scaling)}}); };
  EXPECT_EQ(rope_error({}), "");
  EXPECT_EQ(rope_error({{"rope_scaling", nullptr}}), "");
  EXPECT_EQ(scaled({{"type", "linear"}, {"factor", 2.0}}), "");
  EXPECT_NE(rope_error({{"rope_theta", 0.0}}), "");
  EXPECT_NE(rope_error({{"rope_theta", -1e4}}), "");
  EXPECT_NE(rope_error({{"rope_theta", std::numeric_limits<double>::infinity()}}), "");
  EXPECT_NE(rope_error({{"rope_theta", "x"}}), "");
  EXPECT_NE(rope_error({{"rope_scaling", "linear"}}), "");
  EXPECT_NE(scaled({{"type", "linear"}}).find("factor"), std::string::npos);
  EXPECT_NE(scaled({{"type", "linear"}, {"factor", 0.0}}), "");
  EXPECT_NE(scaled({{"type", "linear"}, {"factor", -1.0}}), "");
  EXPECT_NE(scaled({{"type", "linear"}, {"factor", 1e300}}), "");
  EXPECT_NE(scaled({{"rope_type", "dynamic"}, {"factor", 2.0}}).find("dynamic"), std::string::npos);
  EXPECT_NE(scaled({{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 0}}), "");
  EXPECT_NE(scaled({{"type", "yarn"}, {"factor", 4.0}}).find("original_max_position_embeddings"),
            std::string::npos);
}

}  // namespace
}  // namespace maestrale::models
