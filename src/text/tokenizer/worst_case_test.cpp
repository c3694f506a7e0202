// Inputs that make careless tokenizers quadratic: megabytes of one letter, of blanks, of marks, of
// look-alikes.
#include <gtest/gtest.h>

#include <ctime>

#include "text/tokenizer/golden_test_data.h"

namespace maestrale::text {
namespace {

constexpr std::size_t kBytes = 300'000;
constexpr double kSecondsMax = 20;  // sanitizers included; the aim is well under two

std::string repeated(const std::string& part) {
  std::string out;
  while (out.size() < kBytes) out += part;
  return out;
}

void expect_fast(const Tokenizer& tokenizer) {
  for (const std::string part : {"a", " ", "\n", "1", "!", "ab", "\xcc\x81", "<|", "<s", "\xe2\x96\x81",
                                 "\xff", "\xe4\xb8\xad", "aA", "' ", " \n"}) {
    const std::string text = repeated(part);
    const std::clock_t begin = std::clock();
    const std::vector<TokenId> ids = tokenizer.encode(text, {.parse_special = true});
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, kSecondsMax) << part;
    EXPECT_FALSE(ids.empty());
  }
}

TEST(WorstCase, SentencePiece) {
  const std::string path = "data/tokenizers/mistral/tokenizer.model.v1";
  if (!shared_exists(path)) GTEST_SKIP() << path << " is not here (set MAESTRALE_SHARED)";
  expect_fast(**tokenizer_from_sentencepiece(read_shared(path), path));
}

TEST(WorstCase, ByteLevel) {
  const std::string path = "data/tokenizers/llama.cpp-vocab/ggml-vocab-deepseek-llm.gguf";
  if (!shared_exists(path)) GTEST_SKIP() << path << " is not here (set MAESTRALE_SHARED)";
  GgufVocabulary vocabulary = read_gguf_vocabulary(read_shared(path));
  for (const char* pre : {"deepseek-llm", "llama-bpe", "gpt-4o", "deepseek-v3", "gpt-2"}) {
    vocabulary.pre = pre;
    expect_fast(**tokenizer_from_gguf(vocabulary, path));
  }
}

}  // namespace
}  // namespace maestrale::text
