#include "engine/engine.h"

#include <gtest/gtest.h>

#include <limits>

#include "engine/test_support.h"

namespace maestrale::engine {
namespace {

const LoadOptions kSmall{.threads = 1, .context = 128, .batch_rows = 32, .isa = {}, .progress = {}};

TEST(Engine, SaysWhatItLoaded) {
  double progress = 0;
  LoadOptions options = kSmall;
  options.threads = 2;
  options.progress = [&](double fraction) { progress = fraction; };
  const auto engine = tiny_engine(options, {.dtype = DType::kQ8_0});
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->info().architecture, "mistral");
  EXPECT_EQ(engine->info().vocabulary, 301);
  EXPECT_EQ(engine->context(), 128);
  EXPECT_EQ(engine->threads(), 2);
  EXPECT_EQ(engine->tokenizer(), nullptr);
  EXPECT_EQ(progress, 1.0);
}

TEST(Engine, TheContextIsTheModelsOwnUpToTheDefault) {
  EXPECT_EQ(plan_memory(tiny_checkpoint({.context = 192}), {}).value().context, 192);
  EXPECT_EQ(plan_memory(tiny_checkpoint({.context = 100000}), {}).value().context, kDefaultContext);
  EXPECT_EQ(plan_memory(tiny_checkpoint({.context = 192}), {.context = 500}).value().context, 500);
}

TEST(Engine, RefusesOptionsOutOfRange) {
  const auto kind = [](const LoadOptions& options) {
    const auto engine = Engine::load(tiny_checkpoint(), options);
    return engine.ok() ? std::optional<ErrorKind>() : engine.error().kind;
  };
  EXPECT_EQ(kind({.threads = -1}), ErrorKind::kUsage);
  EXPECT_EQ(kind({.threads = 1 << 20}), ErrorKind::kUsage);
  EXPECT_EQ(kind({.context = -1}), ErrorKind::kUsage);
  EXPECT_EQ(kind({.context = std::int64_t{1} << 40}), ErrorKind::kUsage);
  EXPECT_EQ(kind({.sequences = 0}), ErrorKind::kUsage);
  EXPECT_EQ(kind({.batch_rows = 0}), ErrorKind::kUsage);
  EXPECT_EQ(kind({.batch_rows = 1 << 20}), ErrorKind::kUsage);
  EXPECT_EQ(kind({.isa = "sse9"}), ErrorKind::kUsage);
}

TEST(Engine, RefusesWhatDoesNotFitBeforeItIsTaken) {
  const std::uint64_t needed = plan_memory(tiny_checkpoint(), kSmall).value().total();
  LoadOptions options = kSmall;
  options.memory_budget = needed;
  EXPECT_TRUE(Engine::load(tiny_checkpoint(), options).ok());
  options.memory_budget = needed - 1;
  const auto refused = Engine::load(tiny_checkpoint(), options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kResource);
  EXPECT_NE(refused.error().hint.find("--context"), std::string::npos);
}

TEST(Engine, ThePoolMayBeSharedByMoreSequences) {
  LoadOptions options = kSmall;
  options.sequences = 8;
  const MemoryPlan whole = plan_memory(tiny_checkpoint(), options).value();
  EXPECT_EQ(whole.kv_pages, 16);
  options.kv_tokens = 300;
  const MemoryPlan shared = plan_memory(tiny_checkpoint(), options).value();
  EXPECT_EQ(shared.kv_pages, 5);
  EXPECT_EQ(whole.total() - shared.total(), 11 * 64 * shared.kv_bytes_per_token);
  EXPECT_EQ(tiny_engine(options)->kv().total_pages(), 5);
  options.kv_tokens = 60;
  EXPECT_EQ(plan_memory(tiny_checkpoint(), options).error().kind, ErrorKind::kUsage);
  options.kv_tokens = -1;
  EXPECT_EQ(plan_memory(tiny_checkpoint(), options).error().kind, ErrorKind::kUsage);
}

TEST(Engine, APoolThatFitsTakesWhatTheBudgetLeaves) {
  LoadOptions options = kSmall;
  options.sequences = 8;
  const MemoryPlan whole = plan_memory(tiny_checkpoint(), options).value();
  const std::uint64_t page = 64 * whole.kv_bytes_per_token;
  options.fit_kv = true;
  options.memory_budget = whole.total() - 3 * page - 1;
  EXPECT_EQ(plan_memory(tiny_checkpoint(), options).value().kv_pages, 12);
  EXPECT_TRUE(Engine::load(tiny_checkpoint(), options).ok());
  options.memory_budget = whole.total() - 15 * page;  // less than one context
  EXPECT_EQ(plan_memory(tiny_checkpoint(), options).value().kv_pages, 2);
  EXPECT_FALSE(Engine::load(tiny_checkpoint(), options).ok());
}

TEST(Engine, RefusesTokensAndPositionsOutOfRange) {
  const auto engine = tiny_engine(kSmall);
  const int sequence = engine->open_sequence();
  const auto append = [&](std::vector<text::TokenId> tokens, std::int64_t position) {
    return engine->append(sequence, tokens, position, nullptr);
  };
  for (const text::TokenId token : {-1, 301, std::numeric_limits<text::TokenId>::max()}) {
    const Status status = append({token}, 0);
    ASSERT_FALSE(status.ok()) << token;
    EXPECT_NE(status.error().render().find("token id out of range"), std::string::npos);
  }
  EXPECT_TRUE(append(some_tokens(128, 301), 0).ok());
  const Status beyond = append({1}, 128);
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().kind, ErrorKind::kResource);
}

TEST(Engine, AFullCacheIsAnErrorAndNothingIsLost) {
  const auto engine = tiny_engine(kSmall);
  const int first = engine->open_sequence(), second = engine->open_sequence();
  const std::vector<text::TokenId> tokens = some_tokens(65, 301);
  std::vector<float> before(301), after(301);
  ASSERT_TRUE(engine->append(first, tokens, 0, before.data()).ok());
  const Status full = engine->append(second, tokens, 0, nullptr);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().kind, ErrorKind::kResource);
  engine->truncate(first, 64);
  ASSERT_TRUE(engine->append(first, std::span(tokens).last(1), 64, after.data()).ok());
  EXPECT_EQ(before, after);
  engine->close_sequence(first);
  EXPECT_TRUE(engine->append(second, tokens, 0, nullptr).ok());
}

TEST(Engine, AllLogitsEndWithTheLast) {
  const auto engine = tiny_engine(kSmall);
  const std::vector<text::TokenId> tokens = some_tokens(40, 301);
  std::vector<float> all(40 * 301), last(301), both(301);
  ASSERT_TRUE(engine->append(engine->open_sequence(), tokens, 0, last.data()).ok());
  ASSERT_TRUE(engine->append(engine->open_sequence(), tokens, 0, both.data(), all.data()).ok());
  EXPECT_EQ(last, both);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - 301));
}

TEST(Engine, AWindowForgetsWhatIsOlder) {
  const TinyShape windowed{.window = 8, .layers = 1};
  const auto engine = tiny_engine(kSmall, windowed);
  std::vector<text::TokenId> tokens = some_tokens(40, 301);
  std::vector<float> one(301), other(301);
  ASSERT_TRUE(engine->append(engine->open_sequence(), tokens, 0, one.data()).ok());
  tokens[31] = (tokens[31] + 1) % 301;  // nine before the last: out of its window
  engine->truncate(0, 0);
  ASSERT_TRUE(engine->append(0, tokens, 0, other.data()).ok());
  EXPECT_EQ(one, other);
  tokens[32] = (tokens[32] + 1) % 301;
  engine->truncate(0, 0);
  ASSERT_TRUE(engine->append(0, tokens, 0, other.data()).ok());
  EXPECT_NE(one, other);
}

TEST(PackedWeights, AreTheSameModelWithoutPacking) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "maestrale_engine.packed";
  for (const DType dtype : {DType::kF32, DType::kQ4_K}) {
    const TinyShape shape{.dtype = dtype};
    const auto packs = tiny_engine({.threads = 2, .context = 64}, shape);
    ASSERT_TRUE(packs->write_packed(path).ok());
    for (const std::string& isa : usable_instruction_sets()) {
      const auto maps = tiny_engine({.threads = 2, .context = 64, .isa = isa, .packed = path}, shape);
      ASSERT_NE(maps, nullptr);
      std::vector<float> expected(301), found(301);
      const auto prompt = some_tokens(20, 301);
      const int sequence = packs->open_sequence();
      ASSERT_TRUE(packs->append(sequence, prompt, 0, expected.data()).ok());
      packs->close_sequence(sequence);
      ASSERT_TRUE(maps->append(maps->open_sequence(), prompt, 0, found.data()).ok());
      EXPECT_EQ(expected, found) << isa;
    }
    TinyShape other = shape;
    other.layers = 1;
    const auto refused = Engine::load(tiny_checkpoint(other), {.threads = 1, .packed = path});
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().render().find("another model"), std::string::npos) << refused.error().render();
  }
}

}  // namespace
}  // namespace maestrale::engine
