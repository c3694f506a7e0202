// Ids exactly as the reference engines give them: golden/tokenizers and llama.cpp's .inp/.out pairs.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <sstream>

#include "text/tokenizer/golden_test_data.h"

namespace maestrale::text {
namespace {

constexpr const char* kNames[] = {
    "baichuan",    "bert-bge",   "cl100k_base", "deepseek-coder", "deepseek-llm",
    "deepseek_v3", "falcon",     "gpt-2",       "gpt-neox",       "grok1",
    "llama-spm",   "llama3",     "llama4",      "mistral_v1",     "mistral_v2",
    "mistral_v3",  "mistral_v7", "mpt",         "o200k_base",     "o200k_harmony",
    "phi-3",       "r50k_base",  "refact",      "starcoder",      "tekken_nemo"};

std::string text_of(const json::object& c) {
  if (const json::value* hex = c.if_contains("hex")) return text_of_hex(hex->as_string());
  return std::string(c.at("text").as_string());
}

class Golden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string path = "golden/tokenizers/" + std::string(GetParam()) + ".json.gz";
    if (!shared_exists(path)) GTEST_SKIP() << path << " is not here (set MAESTRALE_SHARED)";
    document_ = parse_json(unzip_shared(path), path).value();
    auto loaded = load_golden_vocabulary(document_.as_object(), GetParam());
    ASSERT_TRUE(loaded.ok()) << loaded.error().render();
    tokenizer_ = std::move(loaded).value();
  }
  json::value document_;
  TokenizerPtr tokenizer_;
};

TEST_P(Golden, IdsAreEqual) {
  for (const json::value& value : document_.as_object().at("cases").as_array()) {
    const json::object& c = value.as_object();
    const std::string text = text_of(c);
    const std::vector<TokenId> ids = tokenizer_->encode(text);
    if (c.contains("hex")) continue;  // must not crash; ids are not fixed
    EXPECT_EQ(ids, ids_of(c.at("ids"))) << json::serialize(json::value(text.substr(0, 300)));
    if (tokenizer_->family() == "tekken") continue;  // its golden has no special tokens
    const json::value* special = c.if_contains("ids_parse_special");
    const auto wanted = ids_of(special != nullptr ? *special : c.at("ids"));
    EXPECT_EQ(tokenizer_->encode(text, {.parse_special = true}), wanted) << text.substr(0, 300);
  }
}

TEST_P(Golden, AddSpecialPutsPrefixAndSuffix) {
  const json::object& with = document_.as_object().at("with_add_special").as_object();
  std::vector<TokenId> wanted = ids_of(with.at("prefix"));
  for (const TokenId id : tokenizer_->encode("abc")) wanted.push_back(id);
  for (const TokenId id : ids_of(with.at("suffix"))) wanted.push_back(id);
  EXPECT_EQ(tokenizer_->encode("abc", {.add_special = true}), wanted);
}

// WordPiece forgets case and blanks; SentencePiece's charsmap forgets some characters' forms.
TEST_P(Golden, DecodeGivesTheTextBack) {
  if (tokenizer_->family() == "wordpiece") GTEST_SKIP() << "not reversible";
  for (const json::value& value : document_.as_object().at("cases").as_array()) {
    const std::string text = text_of(value.as_object());
    if (text.find("\xe2\x96\x81") != std::string::npos) continue;
    if (std::string(GetParam()) == "falcon" && text.find('\v') != std::string::npos)
      continue;  // has no such byte
    const std::vector<TokenId> ids = tokenizer_->encode(text);
    if (find_invalid_utf8(text) != std::string::npos) {
      EXPECT_FALSE(tokenizer_->decode(ids).empty());  // some vocabularies do not have every byte
      continue;
    }
    EXPECT_EQ(tokenizer_->decode(ids), text);
    StreamDecoder stream(*tokenizer_);
    std::string streamed;
    for (const TokenId id : ids) {
      const std::string part = stream.push(id);
      EXPECT_EQ(find_invalid_utf8(part), std::string::npos);
      streamed += part;
    }
    EXPECT_EQ(streamed + stream.flush(), replace_invalid_utf8(text));
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Golden, testing::ValuesIn(kNames), [](const auto& parameter) {
  std::string name = parameter.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t at = text.find(separator); at != std::string::npos; at = text.find(separator, begin)) {
    parts.push_back(text.substr(begin, at - begin));
    begin = at + separator.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

TEST(LlamaCppPairs, IdsAreEqual) {
  const std::string folder = "data/tokenizers/llama.cpp-vocab/ggml-vocab-";
  if (!shared_exists(folder + "gpt-2.gguf"))
    GTEST_SKIP() << "vocabularies are not here (set MAESTRALE_SHARED)";
  for (const char* name : {"bert-bge", "deepseek-coder", "deepseek-llm", "falcon", "gpt-2", "llama-spm",
                           "mpt", "phi-3", "refact", "starcoder"}) {
    auto loaded = tokenizer_from_gguf(read_gguf_vocabulary(read_shared(folder + name + ".gguf")), name);
    ASSERT_TRUE(loaded.ok()) << loaded.error().render();
    const auto inputs = split(read_shared(folder + name + ".gguf.inp"), "\n__ggml_vocab_test__\n");
    const auto outputs = split(read_shared(folder + name + ".gguf.out"), "\n");
    ASSERT_LE(inputs.size(), outputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      std::vector<TokenId> wanted;
      std::istringstream numbers(outputs[i]);
      for (TokenId id = 0; numbers >> id;) wanted.push_back(id);
      EXPECT_EQ((*loaded)->encode(inputs[i], {.parse_special = false}), wanted) << name << ": " << inputs[i];
    }
  }
}

}  // namespace
}  // namespace maestrale::text
