// Small vocabularies written here: what each loader makes of them, and that damaged files give one error.
#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"
#include "text/tokenizer/golden_test_data.h"

namespace maestrale::text {
namespace {

using Ids = std::vector<TokenId>;

const std::string kByteLevelJson = R"({
  "added_tokens": [{"id": 9, "content": "<|end|>", "special": true, "normalized": false},
                   {"id": 10, "content": "[X]", "special": false, "lstrip": true, "rstrip": true}],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [9], "tokens": ["<|end|>"]}}},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "Ġ": 3, "ab": 4, "Ġab": 5, "Ã": 6, "©": 7, "Ã©": 8},
            "merges": ["a b", ["Ġ", "ab"], "Ã ©"]}})";

const std::string kLlamaJson = R"({
  "added_tokens": [{"id": 1, "content": "<s>", "special": true}],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                 {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "pre_tokenizer": null,
  "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
              {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "model": {"type": "BPE", "byte_fallback": true, "unk_token": "<unk>",
            "vocab": {"<unk>": 0, "<s>": 1, "<0xC3>": 2, "<0xA9>": 3, "▁": 4, "h": 5, "i": 6, "hi": 7, "▁hi": 8},
            "merges": ["h i", "▁ hi"]}})";

const std::string kUnigramJson = R"({
  "normalizer": {"type": "Lowercase"},
  "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
  "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
  "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["▁", -3], ["a", -2], ["b", -2.5],
            ["ab", -3.5], ["▁ab", -7.9], ["ba", -9]]}})";

const std::string kWordPieceJson = R"({
  "added_tokens": [{"id": 0, "content": "[UNK]", "special": true}, {"id": 1, "content": "[CLS]", "special": true},
                   {"id": 2, "content": "[SEP]", "special": true}],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
  "decoder": {"type": "WordPiece", "prefix": "##"},
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "play": 3, "##ing": 4, ",": 5, "中": 6, "eleve": 7}}})";

TokenizerPtr load_json(const std::string& json, const std::string& config = "") {
  auto loaded = tokenizer_from_json(json, config, "test.json");
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().render());
  return loaded.ok() ? std::move(loaded).value() : nullptr;
}

TEST(TokenizerJson, ByteLevelBpe) {
  const TokenizerPtr t = load_json(kByteLevelJson, R"({"eos_token": {"content": "<|end|>"}})");
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->encode("ab abc"), (Ids{4, 5, 2}));
  EXPECT_EQ(t->encode("e\xcc\x81"), (Ids{8}));  // composed by NFC
  EXPECT_EQ(t->encode("ab", {.add_special = true}), (Ids{9, 4}));
  EXPECT_EQ(t->encode("a<|end|>", {.parse_special = true}), (Ids{0, 9}));
  EXPECT_EQ(t->encode("a [X] b"), (Ids{0, 10, 1}));
  EXPECT_EQ(t->decode(Ids{9, 4, 5, 8}), "ab ab\xc3\xa9");
  EXPECT_EQ(t->decode(Ids{9, 4}, {.skip_special = false}), "<|end|>ab");
  EXPECT_EQ(std::vector<TokenId>(t->end_tokens().begin(), t->end_tokens().end()), (Ids{9}));
  EXPECT_EQ(t->find("<|end|>"), 9);
  EXPECT_EQ(t->find(" ab"), 5);
  EXPECT_EQ(t->find("nothing"), std::nullopt);
  EXPECT_EQ(t->bytes(1000), "");
  EXPECT_EQ(t->bytes(-1), "");
}

TEST(TokenizerJson, LlamaStyleBpe) {
  const TokenizerPtr t = load_json(kLlamaJson);
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->encode("hi hi"), (Ids{8, 8}));
  EXPECT_EQ(t->encode("\xc3\xa9"), (Ids{4, 2, 3}));
  EXPECT_EQ(t->encode("z"), (Ids{4, 0}));  // no byte token for z
  EXPECT_EQ(t->decode(Ids{8, 8}), "hi hi");
  StreamDecoder stream(*t);
  EXPECT_EQ(stream.push(4), "");
  EXPECT_EQ(stream.push(2), "");
  EXPECT_EQ(stream.push(3), "\xc3\xa9");
  EXPECT_EQ(stream.push(2), "");
  EXPECT_EQ(stream.flush(), "\xef\xbf\xbd");
}

TEST(TokenizerJson, Unigram) {
  const TokenizerPtr t = load_json(kUnigramJson);
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->encode("AB"), (Ids{1, 4}));  // -3 - 3.5 beats -7.9
  EXPECT_EQ(t->encode("zz b"), (Ids{1, 0, 1, 3}));
  EXPECT_EQ(t->decode(Ids{1, 4, 1, 3}), "ab b");
  EXPECT_EQ(t->family(), "unigram");
}

TEST(TokenizerJson, WordPiece) {
  const TokenizerPtr t = load_json(kWordPieceJson);
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->encode("Playing,中 \xc3\xa9l\xc3\xa8ve", {.add_special = true}), (Ids{1, 3, 4, 5, 6, 7, 2}));
  EXPECT_EQ(t->encode("ing player"), (Ids{0, 0}));
  EXPECT_EQ(t->decode(Ids{3, 4, 7}), "playing eleve");
}

TEST(TokenizerJson, RefusesByName) {
  const auto error = [](const std::string& json) {
    auto loaded = tokenizer_from_json(json, "", "x");
    return loaded.ok() ? std::string("accepted") : loaded.error().render();
  };
  const std::string model = R"("model": {"type": "BPE", "vocab": {"a": 0}, "merges": []})";
  EXPECT_NE(error(R"({"model": {"type": "WordLevel", "vocab": {}}})").find("WordLevel"), std::string::npos);
  EXPECT_NE(error(R"({"normalizer": {"type": "Nmt"}, )" + model + "}").find("Nmt"), std::string::npos);
  EXPECT_NE(error(R"({"pre_tokenizer": {"type": "UnicodeScripts"}, )" + model + "}").find("UnicodeScripts"),
            std::string::npos);
  EXPECT_NE(error(R"({"decoder": {"type": "CTC"}, )" + model + "}").find("CTC"), std::string::npos);
  EXPECT_NE(error(R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})").find("range"),
            std::string::npos);
  EXPECT_NE(error(R"({"model": {"type": "BPE", "vocab": {"a": 2000000000}, "merges": []}})").find("range"),
            std::string::npos);
  EXPECT_NE(error(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})").find("one id"),
            std::string::npos);
  EXPECT_NE(error(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a q"]}})").find("merge"),
            std::string::npos);
}

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(static_cast<unsigned char>(value | 0x80));
  return out + static_cast<char>(static_cast<unsigned char>(value));
}

std::string field(int number, const std::string& bytes) {
  return varint(static_cast<std::uint64_t>(number) * 8 + 2) + varint(bytes.size()) + bytes;
}

std::string number_field(int number, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(number) * 8) + varint(value);
}

std::string piece(const std::string& text, float score, int type) {
  std::string bits(4, '\0');
  std::memcpy(bits.data(), &score, 4);
  return field(
      1, field(1, text) + std::string(1, '\x15') + bits + number_field(3, static_cast<std::uint64_t>(type)));
}

std::string small_proto(int model_type) {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁", -1, 1) +
         piece("a", -2, 1) + piece("b", -3, 1) + piece("ab", -1.5f, 1) + piece("▁ab", -0.5f, 1) +
         piece("[U]", 0, 4) + field(2, number_field(3, static_cast<std::uint64_t>(model_type))) +
         field(3, number_field(3, 1) + number_field(4, 1));
}

TEST(SentencePieceProto, BpeAndUnigram) {
  for (const int type : {1, 2}) {
    auto loaded = tokenizer_from_sentencepiece(small_proto(type), "small.model");
    ASSERT_TRUE(loaded.ok()) << loaded.error().render();
    const Tokenizer& t = **loaded;
    EXPECT_EQ(t.encode("  ab   ab "), (Ids{7, 7}));  // extra white space is removed
    EXPECT_EQ(t.encode(""), Ids{});
    EXPECT_EQ(t.encode("a[U]b", {.add_special = true}), (Ids{1, 3, 4, 8, 5}));
    EXPECT_EQ(t.encode("</s>", {.parse_special = true}), (Ids{2}));
    EXPECT_EQ(t.decode(Ids{1, 7, 7, 2}), "ab ab");
    EXPECT_EQ(t.end_tokens().size(), 1u);
    EXPECT_TRUE(t.adds_bos());
  }
}

TEST(SentencePieceProto, RefusesOtherModels) {
  auto loaded = tokenizer_from_sentencepiece(small_proto(3), "word.model");
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().kind, ErrorKind::kUnsupported);
}

const std::string kTekken = R"({"config": {"pattern": "\\p{L}+|\\s+", "default_vocab_size": 6,
  "default_num_special_tokens": 3, "version": "v3"},
  "vocab": [{"rank": 0, "token_bytes": "YQ==", "token_str": "a"}, {"rank": 1, "token_bytes": "Yg==", "token_str": "b"},
            {"rank": 2, "token_bytes": "YWI=", "token_str": "ab"}, {"rank": 3, "token_bytes": "YWJi", "token_str": null}]})";

TEST(Tekken, SmallFile) {
  auto loaded = tokenizer_from_tekken(kTekken, "tekken.json");
  ASSERT_TRUE(loaded.ok()) << loaded.error().render();
  EXPECT_EQ((*loaded)->encode("abb", {.add_special = true}), (Ids{1, 5, 4}));  // rank 3 is beyond the size
  EXPECT_EQ((*loaded)->size(), 6);
  EXPECT_EQ((*loaded)->bos(), 1);
}

TEST(Llama2c, SmallFile) {
  std::string bytes(4, '\0');
  const auto add = [&](const std::string& text, float score) {
    const auto size = static_cast<std::uint32_t>(text.size());
    bytes.append(reinterpret_cast<const char*>(&score), 4)
        .append(reinterpret_cast<const char*>(&size), 4)
        .append(text);
  };
  for (const char* text : {"<unk>", "\n<s>\n", "\n</s>\n", " ", "a", " a"}) add(text, 0);
  auto loaded = tokenizer_from_llama2c(bytes, 6, "tokenizer.bin");
  ASSERT_TRUE(loaded.ok()) << loaded.error().render();
  EXPECT_EQ((*loaded)->encode("a a", {.add_special = true}), (Ids{1, 5, 5}));
  EXPECT_EQ((*loaded)->decode(Ids{1, 5, 5}), "a a");
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(tokenizer_from_llama2c(bytes.substr(0, n), 6, "cut").ok());
  }
  EXPECT_FALSE(tokenizer_from_llama2c(bytes, 5, "longer").ok());
  EXPECT_FALSE(tokenizer_from_llama2c(bytes, -1, "negative").ok());
  EXPECT_FALSE(tokenizer_from_llama2c(bytes, std::int64_t{1} << 60, "huge").ok());
}

template <class Load>
void damage(const std::string& good, const Load& load) {
  for (std::size_t n = 0; n < good.size(); n += 1 + good.size() / 400) load(good.substr(0, n));
  for (std::uint64_t i = 0; i < 2000; ++i) {
    std::string bad = good;
    const auto random = philox(7, 1, i);
    bad[random[0] % bad.size()] ^= static_cast<char>(1u << (random[1] % 8));
    if (random[2] % 2 == 0) bad[random[3] % bad.size()] = static_cast<char>(random[1] >> 8);
    load(bad);
  }
}

void use(const Result<TokenizerPtr>& loaded) {
  if (!loaded.ok()) {
    EXPECT_FALSE(loaded.error().render().empty());
    return;
  }
  const std::vector<TokenId> ids = (*loaded)->encode("ab [U] \xff\xc3\xa9 <s>", {true, true});
  (*loaded)->decode(ids);
}

TEST(Damage, OneErrorNeverACrash) {
  for (const std::string& json : {kByteLevelJson, kLlamaJson, kUnigramJson, kWordPieceJson}) {
    damage(json, [](const std::string& bytes) { use(tokenizer_from_json(bytes, "", "x")); });
  }
  damage(kTekken, [](const std::string& bytes) { use(tokenizer_from_tekken(bytes, "x")); });
  for (const int type : {1, 2}) {
    damage(small_proto(type),
           [](const std::string& bytes) { use(tokenizer_from_sentencepiece(bytes, "x")); });
  }
  TiktokenSpec spec;
  spec.pattern = "\\p{L}+|\\s+";
  damage("YQ== 0\nYg== 1\nYWI= 2\n",
         [&](const std::string& bytes) { use(tokenizer_from_tiktoken(bytes, spec, "x")); });
}

GgufVocabulary small_gguf(const std::string& model) {
  GgufVocabulary v;
  v.model = model;
  v.tokens = {"<unk>", "<s>", "</s>", "a", "b", "ab"};
  v.scores = {0, 0, 0, -1, -2, -3};
  v.token_types = {2, 3, 3, 1, 1, 1};
  v.merges = {"a b"};
  v.bos = 1;
  v.eos = 2;
  return v;
}

TEST(Gguf, RefusesWhatDoesNotFit) {
  const auto error = [](const GgufVocabulary& v) {
    auto loaded = tokenizer_from_gguf(v, "x.gguf");
    return loaded.ok() ? std::string("accepted") : loaded.error().render();
  };
  EXPECT_EQ(error(small_gguf("llama")), "accepted");
  EXPECT_EQ(error(small_gguf("gpt2")), "accepted");
  GgufVocabulary v = small_gguf("gpt2");
  v.pre = "no-such-name";
  EXPECT_NE(error(v).find("no-such-name"), std::string::npos);
  v = small_gguf("rwkv");
  EXPECT_NE(error(v).find("rwkv"), std::string::npos);
  v = small_gguf("llama");
  v.scores.pop_back();
  EXPECT_NE(error(v).find("do not match"), std::string::npos);
  v = small_gguf("llama");
  v.scores[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(error(v).find("finite"), std::string::npos);
  v = small_gguf("gpt2");
  v.merges = {"a zz"};
  EXPECT_NE(error(v).find("merge"), std::string::npos);
  v.merges = {"", " ", "a"};
  EXPECT_NE(error(v).find("merge"), std::string::npos);
  v = small_gguf("gpt2");
  v.bos = -5;
  EXPECT_NE(error(v).find("bos_token_id"), std::string::npos);
  v = small_gguf("gpt2");
  v.tokens[4] = "a";
  EXPECT_NE(error(v).find("alike"), std::string::npos);
  v = small_gguf("llama");
  v.token_types[0] = 9;
  EXPECT_NE(error(v).find("type"), std::string::npos);
  v.tokens.clear();
  EXPECT_NE(error(v), "accepted");
}

}  // namespace
}  // namespace maestrale::text
