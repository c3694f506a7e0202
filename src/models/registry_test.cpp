// Every entry of the registry, by tiny models of made-up weights: the same bits on every instruction set and
// for every number of threads, however the prompt is cut and whatever else is in the batch; quantised weights
// near exact ones.
#include "models/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "models/tiny_models.h"

namespace maestrale::models {
namespace {

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
