// Adapters: the same as a model with the change merged into its weights, chosen per sequence, and no trace of
// them in rows that do not use them.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/low_rank_test_support.h"
#include "engine/service_test_support.h"

namespace maestrale::engine {
namespace {

const float* floats(const TensorView& tensor) { return reinterpret_cast<const float*>(tensor.data.data()); }

// W += scale · B A in place.
void merge(files::Checkpoint& checkpoint, const files::Adapter& adapter, float strength) {
  for (const auto& [module, pair] : adapter.pairs) {
    const TensorView* tensor = checkpoint.find("model." + module + ".weight");
    ASSERT_NE(tensor, nullptr) << module;
    auto* w = reinterpret_cast<float*>(const_cast<std::byte*>(tensor->data.data()));
    const std::int64_t rank = pair.a.shape[0], columns = pair.a.shape[1];
    for (std::int64_t row = 0; row < pair.b.shape[0]; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        double sum = 0;
        for (std::int64_t r = 0; r < rank; ++r) {
          sum += static_cast<double>(floats(pair.b)[row * rank + r]) *
                 static_cast<double>(floats(pair.a)[r * columns + column]);
        }
        w[row * columns + column] += static_cast<float>(sum * adapter.scale(rank) * strength);
      }
    }
  }
}

LoadOptions options_for(int sequences = 1) {
  return {.threads = 2, .context = 64, .sequences = sequences, .kv_type = ops::KvType::kF32};
}

std::unique_ptr<Engine> engine_with(std::vector<files::Adapter> adapters, DType dtype = DType::kF32,
                                    int threads = 2, std::string isa = {}) {
  files::Checkpoint checkpoint = tiny_checkpoint({.dtype = dtype});
  checkpoint.adapters = std::move(adapters);
  LoadOptions options = options_for(4);
  options.threads = threads;
  options.isa = std::move(isa);
  auto engine = Engine::load(std::move(checkpoint), options);
  EXPECT_TRUE(engine.ok()) << engine.error().render();
  return engine.ok() ? std::move(engine).value() : nullptr;
}

std::vector<float> logits_of(Engine& engine, const std::vector<ops::AdapterChoice>& choices) {
  const auto tokens = some_tokens(20, engine.info().vocabulary);
  std::vector<float> logits(20 * static_cast<std::size_t>(engine.info().vocabulary));
  const int sequence = engine.open_sequence();
  EXPECT_TRUE(engine.use_adapters(sequence, choices).ok());
  EXPECT_TRUE(engine.append(sequence, tokens, 0, nullptr, logits.data()).ok());
  engine.close_sequence(sequence);
  return logits;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Adapters, AgreeWithMergedWeights) {
  TinyAdapter one(1), two(2, 3);
  files::Checkpoint merged = tiny_checkpoint({.dtype = DType::kF32});
  merge(merged, one.adapter, 1);
  merge(merged, two.adapter, 0.5f);
  auto reference = Engine::load(std::move(merged), options_for());
  ASSERT_TRUE(reference.ok()) << reference.error().render();
  std::vector<files::Adapter> both;
  both.push_back(std::move(one.adapter));
  both.push_back(std::move(two.adapter));
  const auto engine = engine_with(std::move(both));
  ASSERT_NE(engine, nullptr);
  const auto plain = logits_of(*engine, {});
  const auto adapted = logits_of(*engine, {{0, 1}, {1, 0.5f}});
  // Both sum 256 products in f32: the logits, of size about 1, differ by roundings through two layers.
  EXPECT_LT(largest_difference(adapted, logits_of(**reference, {})), 2e-4);
  EXPECT_GT(largest_difference(adapted, plain), 0.02);
  EXPECT_TRUE(same_bits(plain, logits_of(*tiny_engine(options_for()), {}))) << "nobody asked for an adapter";
}

TEST(Adapters, LeaveBitsToThoseWhoDoNotUseThem) {
  for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
    TinyAdapter one(1), two(2);
    std::vector<files::Adapter> both;
    both.push_back(std::move(one.adapter));
    both.push_back(std::move(two.adapter));
    const auto engine = engine_with(std::move(both), dtype);
    ASSERT_NE(engine, nullptr);
    const std::vector<std::vector<ops::AdapterChoice>> choices = {
        {}, {{0, 1}}, {{1, 1}, {0, -0.5f}}, {{0, 1}}};
    std::vector<std::vector<float>> alone;
    for (const auto& choice : choices) alone.push_back(logits_of(*engine, choice));
    EXPECT_FALSE(same_bits(alone[0], alone[1]));
    std::vector<int> sequences;
    for (const auto& choice : choices) {
      sequences.push_back(engine->open_sequence());
      ASSERT_TRUE(engine->use_adapters(sequences.back(), choice).ok());
    }
    const auto tokens = some_tokens(20, engine->info().vocabulary);
    const auto vocabulary = static_cast<std::size_t>(engine->info().vocabulary);
    std::vector<float> logits(4 * vocabulary);
    const std::vector<std::int32_t> all = {0, 1, 2, 3};
    for (std::int32_t position = 0; position < 20; ++position) {
      const std::vector<std::int32_t> row(4, tokens[static_cast<std::size_t>(position)]), at(4, position);
      ASSERT_TRUE(engine
                      ->forward({row, at, std::vector<std::int32_t>(sequences.begin(), sequences.end()), all},
                                logits.data())
                      .ok());
      for (std::size_t i = 0; i < 4; ++i) {
        ASSERT_EQ(
            std::memcmp(logits.data() + i * vocabulary,
                        alone[i].data() + static_cast<std::size_t>(position) * vocabulary, vocabulary * 4),
            0)
            << "sequence " << i << ", position " << position;
      }
    }
  }
}

TEST(Adapters, AreTheSameOnEveryInstructionSetAndNumberOfThreads) {
  std::vector<float> reference;
  for (const std::string& isa : usable_instruction_sets()) {
    for (const int threads : {1, 3}) {
      TinyAdapter one(1);
      std::vector<files::Adapter> adapters;
      adapters.push_back(std::move(one.adapter));
      const auto engine = engine_with(std::move(adapters), DType::kQ8_0, threads, isa);
      ASSERT_NE(engine, nullptr);
      const auto logits = logits_of(*engine, {{0, 1}});
      if (reference.empty()) reference = logits;
      EXPECT_TRUE(same_bits(reference, logits)) << isa << " " << threads;
    }
  }
}

std::string refusal(files::Adapter adapter) {
  files::Checkpoint checkpoint = tiny_checkpoint();
  checkpoint.adapters.push_back(std::move(adapter));
  auto engine = Engine::load(std::move(checkpoint), options_for());
  return engine.ok() ? "" : engine.error().render();
}

TEST(Adapters, OfAnotherBaseAreRefused) {
  TinyAdapter shape(1);
  shape.add("layers.1.mlp.up_proj", 300, 256, kRank, 5);
  EXPECT_NE(refusal(std::move(shape.adapter)).find("'layers.1.mlp.up_proj' has the wrong shape"),
            std::string::npos);
  TinyAdapter layer(1);
  layer.add("layers.2.mlp.up_proj", 256, 256, kRank, 5);
  EXPECT_NE(refusal(std::move(layer.adapter)).find("changes 'layers.2.mlp.up_proj'"), std::string::npos);
  TinyAdapter head(1);
  head.add("lm_head", 301, 256, kRank, 5);
  EXPECT_NE(refusal(std::move(head.adapter)).find("changes 'lm_head'"), std::string::npos);
  TinyAdapter gguf(1);
  gguf.adapter.gguf = true;
  EXPECT_NE(refusal(std::move(gguf.adapter)).find("goes with a GGUF model"), std::string::npos);
}

// The same prompt with and without an adapter, one after the other and with several choices: what the prefix
// cache and the forks of a prompt share must have been computed with the same adapters.
TEST(Adapters, OfRequestsKeepTheSharedBeginningsApart) {
  const auto loaded = [](int sequences) {
    TinyAdapter adapter(1, kRank, 1);
    files::Checkpoint checkpoint = tiny_checkpoint({.dtype = DType::kQ8_0, .context = 256, .layers = 1});
    checkpoint.tokenizer = byte_tokenizer(301);
    checkpoint.adapters.push_back(std::move(adapter.adapter));
    const LoadOptions options{.threads = 2, .context = 256, .sequences = sequences};
    return std::move(Engine::load(std::move(checkpoint), options)).value();
  };
  const auto alone = loaded(1);
  const auto service = std::move(Service::start(loaded(8), {})).value();
  ServiceRequest request{.generate = request_of(some_tokens(150, 256), 12), .choices = 2};
  request.generate.ignore_end = true;
  std::vector<std::vector<text::TokenId>> answers;
  for (const bool adapted : {false, true, false, true}) {
    request.generate.adapters.reset();
    if (adapted) request.generate.adapters = std::vector<ops::AdapterChoice>{{0, 4}};
    const SeenAnswer seen = read_all(**service->submit(request));
    ASSERT_EQ(seen.choices.size(), 2u);
    for (int choice = 0; choice < 2; ++choice) {
      expect_same(seen.choices[static_cast<std::size_t>(choice)], run_alone(*alone, request.generate, choice),
                  adapted ? "adapted" : "plain");
    }
    answers.push_back(seen.choices[0].tokens);
    EXPECT_EQ(seen.end->usage.cached_tokens > 0, answers.size() > 2) << answers.size();
  }
  EXPECT_NE(answers[0], answers[1]);
  request.generate.adapters = std::vector<ops::AdapterChoice>{{1, 1}};
  EXPECT_EQ(service->submit(request).error().kind, ErrorKind::kUsage);
}

TEST(Adapters, ThatAreNotThereAreRefused) {
  const auto engine = tiny_engine(options_for());
  const int sequence = engine->open_sequence();
  EXPECT_FALSE(engine->use_adapters(sequence, std::vector<ops::AdapterChoice>{{0, 1}}).ok());
}

}  // namespace
}  // namespace maestrale::engine
