#include "engine/mtp_draft.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "engine/service_test_support.h"
#include "engine/test_support.h"
#include "models/test_support.h"

namespace maestrale::engine {
namespace {

using models::kVocabulary;

constexpr const char* kSettings =
    R"({"q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
        "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
        "first_k_dense_replace": 1, "routed_scaling_factor": 2.0, "norm_topk_prob": true,
        "n_group": 4, "topk_group": 2, "topk_method": "noaux_tc", "num_nextn_predict_layers": 1})";
const LoadOptions kOptions{
    .threads = 2, .context = 200, .sequences = 4, .batch_rows = 64, .memory_budget = 1 << 28};

models::TinyCheckpoint tiny(const char* format = "q8_0") {
  return {{"deepseek", "DeepseekV3ForCausalLM", kSettings}, format};
}

// The weights stay with `model`, which has to outlive the engine.
std::unique_ptr<Engine> engine_of(const models::TinyCheckpoint& model, bool mtp,
                                  LoadOptions options = kOptions) {
  files::Checkpoint checkpoint;
  checkpoint.dialect = model.checkpoint.dialect;
  checkpoint.path = model.checkpoint.path;
  checkpoint.metadata = model.checkpoint.metadata;
  checkpoint.tensors = model.checkpoint.tensors;
  checkpoint.index_tensors();
  checkpoint.mtp = mtp;
  auto engine = Engine::load(std::move(checkpoint), options);
  EXPECT_TRUE(engine.ok()) << engine.error().render();
  return std::move(engine).value();
}

GenerateRequest asked(std::uint64_t seed, double temperature) {
  GenerateRequest request = request_of(some_tokens(20, kVocabulary, seed), 60, temperature);
  request.sampling.seed = seed;
  request.always_draft = true;
  return request;
}

Generation answer(Engine& engine, const GenerateRequest& request) {
  auto result = engine.generate(request, {});
  EXPECT_TRUE(result.ok()) << result.error().render();
  return result.ok() ? std::move(result).value() : Generation{};
}

TEST(MtpDraft, AnswersAreTheSame) {
  const models::TinyCheckpoint model = tiny();
  const auto with = engine_of(model, true), without = engine_of(model, false);
  ASSERT_NE(with->mtp(), nullptr);
  EXPECT_EQ(without->mtp(), nullptr);
  std::int64_t guesses = 0, looked_up = 0;
  for (const std::uint64_t seed : {1, 2, 3}) {
    for (const double temperature : {0.0, 0.7}) {
      GenerateRequest request = asked(seed, temperature);
      const Generation guessed = answer(*with, request), plain = answer(*without, request);
      request.drafts = 0;
      EXPECT_EQ(guessed.tokens, answer(*without, request).tokens) << seed;
      guesses += guessed.guesses;
      looked_up += plain.guesses;
    }
  }
  EXPECT_GT(guesses, looked_up + 100);
}

// Several answers at once, forked ones among them, prefixes from the cache, and too few pages for all.
TEST(MtpDraft, AnswersOfAServiceAreTheSame) {
  const models::TinyCheckpoint model = tiny();
  std::vector<std::vector<SeenChoice>> alone;
  for (const bool mtp : {false, true}) {
    LoadOptions options = kOptions;
    options.kv_tokens = 320;
    const auto service = std::move(Service::start(engine_of(model, mtp, options),
                                                  {.running = 4, .chunk = 16, .always_draft = true}))
                             .value();
    std::vector<std::shared_ptr<AnswerStream>> streams;
    for (std::uint64_t i = 0; i < 8; ++i) {
      ServiceRequest request;
      request.generate = asked(i / 2, i % 3 == 0 ? 0 : 0.7);
      const auto more = some_tokens(70, kVocabulary, i);
      request.generate.prompt.insert(request.generate.prompt.begin(), more.begin(), more.end());
      if (i % 2 == 1) request.generate.prompt = some_tokens(90, kVocabulary);
      request.choices = i % 4 == 1 ? 3 : 1;
      streams.push_back(std::move(service->submit(std::move(request))).value());
    }
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const std::vector<SeenChoice> seen = read_all(*streams[i]).choices;
      if (!mtp) alone.push_back(seen);
      ASSERT_EQ(seen.size(), alone[i].size());
      for (std::size_t c = 0; c < seen.size(); ++c) {
        EXPECT_EQ(seen[c].tokens, alone[i][c].tokens) << i;
        EXPECT_EQ(seen[c].logprobs, alone[i][c].logprobs) << i;
      }
    }
    EXPECT_GT(service->stats().guesses, 0u);
  }
}

void put(models::TinyCheckpoint& model, const std::string& name,
         const std::function<float(std::int64_t row, std::int64_t column)>& value) {
  for (TensorView& tensor : model.checkpoint.tensors) {
    if (tensor.name != name) continue;
    std::vector<float> values;
    for (std::int64_t row = 0; row < tensor.rows(); ++row) {
      for (std::int64_t column = 0; column < tensor.columns(); ++column) values.push_back(value(row, column));
    }
    std::vector<std::byte>& bytes = model.storage.emplace_back(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    tensor.data = bytes;
  }
}

// A model that says the numbers in their order, and nothing else matters to it. Its head knows them from the
// token (so for as many tokens ahead as one likes) or from the state before the token.
models::TinyCheckpoint counting(bool by_state) {
  models::TinyCheckpoint model = tiny("f32");
  TensorView own = *model.checkpoint.find("lm_head.weight");
  own.name = "model.layers.4.shared_head.head.weight";
  model.checkpoint.tensors.push_back(own);
  std::vector<std::string> names;
  for (const TensorView& tensor : model.checkpoint.tensors) names.push_back(tensor.name);
  for (const std::string& name : names) {
    if (name.find("norm") != name.npos) put(model, name, [](auto, auto) { return 1.0f; });
    if (name.find("o_proj") != name.npos || name.find("down_proj") != name.npos)
      put(model, name, [](auto, auto) { return 0.0f; });
  }
  model.checkpoint.index_tensors();
  const TensorView& table = *model.checkpoint.find("model.embed_tokens.weight");
  const auto* embedding = reinterpret_cast<const float*>(table.data.data());
  const auto saying = [=](std::int64_t further) {
    return [=](std::int64_t row, std::int64_t column) {
      return embedding[(row + kVocabulary - further) % kVocabulary * 64 + column];
    };
  };
  put(model, "lm_head.weight", saying(1));
  put(model, own.name, saying(by_state ? 2 : 1));
  put(model, "model.layers.4.eh_proj.weight", [by_state](std::int64_t row, std::int64_t column) {
    return column == row + (by_state ? 64 : 0) ? 1.0f : 0.0f;
  });
  return model;
}

TEST(MtpDraft, AHeadThatKnowsIsAlwaysRight) {
  for (const bool by_state : {true, false}) {
    const models::TinyCheckpoint model = counting(by_state);
    const auto engine = engine_of(model, true);
    GenerateRequest request = request_of({5}, 70, 0);
    request.always_draft = true;
    request.drafts = by_state ? 1 : 4;
    const Generation counted = answer(*engine, request);
    for (std::int64_t i = 0; i < 70; ++i)
      EXPECT_EQ(counted.tokens[static_cast<std::size_t>(i)], (6 + i) % kVocabulary);
    EXPECT_EQ(counted.guesses, counted.guessed_right);
    EXPECT_GE(counted.guesses, by_state ? 34 : 54);  // of 69 tokens after the first
  }
}

TEST(MtpDraft, AHeadThatKnowsIsRightForManyAtOnce) {
  const models::TinyCheckpoint model = counting(true);
  const auto service =
      std::move(Service::start(engine_of(model, true),
                               {.running = 4, .chunk = 16, .drafts = 1, .always_draft = true}))
          .value();
  std::vector<std::shared_ptr<AnswerStream>> streams;
  for (text::TokenId first = 0; first < 12; ++first) {
    ServiceRequest request;
    request.generate = request_of({first}, 60, 0);
    streams.push_back(std::move(service->submit(std::move(request))).value());
  }
  for (const auto& stream : streams) EXPECT_EQ(read_all(*stream).choices.front().tokens.size(), 60u);
  const ServiceStats stats = service->stats();
  EXPECT_GE(stats.guessed_right + 12, stats.guesses);  // an answer may end before its last guess
  EXPECT_GT(stats.guesses, 12u * 20);
}

TEST(MtpDraft, GuessesNothingWithoutAState) {
  const models::TinyCheckpoint model = tiny();
  const auto engine = engine_of(model, true);
  const int sequence = engine->open_sequence();
  const auto history = some_tokens(20, kVocabulary);
  const MtpDraft::Asked asked{sequence, history, 3};
  EXPECT_TRUE(engine->mtp()->guess(*engine, {&asked, 1}, true).front().empty());
  ASSERT_TRUE(engine->append(sequence, std::span(history).first(19), 0, nullptr).ok());
  EXPECT_EQ(engine->mtp()->guess(*engine, {&asked, 1}, true).front().size(), 3u);
  engine->truncate(sequence, 15);
  EXPECT_TRUE(engine->mtp()->guess(*engine, {&asked, 1}, true).front().empty());
}

TEST(MtpDraft, IsInTheMemoryPlan) {
  models::TinyCheckpoint model = tiny();
  const MemoryPlan without = std::move(plan_memory(model.checkpoint, kOptions)).value();
  model.checkpoint.mtp = true;
  const MemoryPlan with = std::move(plan_memory(model.checkpoint, kOptions)).value();
  EXPECT_GT(with.weights, without.weights);
  EXPECT_GT(with.kv_bytes_per_token, without.kv_bytes_per_token);
  const std::uint64_t states = 4 * 64 * sizeof(float) * static_cast<std::uint64_t>(ops::kRecentStates);
  const std::uint64_t pool =
      with.kv_bytes_per_token * static_cast<std::uint64_t>(with.kv_pages * ops::kPageTokens);
  EXPECT_EQ(with.kv_cache, pool + states);
}

}  // namespace
}  // namespace maestrale::engine
