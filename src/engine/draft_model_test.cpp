#include "engine/draft_model.h"

#include <gtest/gtest.h>

#include "engine/service_test_support.h"
#include "engine/test_support.h"

namespace maestrale::engine {
namespace {

constexpr std::int64_t kVocabulary = 301;
const LoadOptions kOptions{
    .threads = 1, .context = 160, .sequences = 4, .batch_rows = 64, .memory_budget = 1 << 28};

std::unique_ptr<DraftModel> draft_of(const TinyShape& shape, LoadOptions options = kOptions) {
  return std::move(DraftModel::create(tiny_engine(options, shape))).value();
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

TEST(DraftModel, AModelGuessesItsOwnAnswersRight) {
  auto engine = tiny_engine(kOptions);
  const GenerateRequest request = asked(1, 0);
  const Generation alone = answer(*engine, request);
  engine->set_draft(draft_of({}));
  const Generation guessed = answer(*engine, request);
  EXPECT_EQ(guessed.tokens, alone.tokens);
  EXPECT_GT(guessed.guessed_right, alone.guessed_right + 10);
}

TEST(DraftModel, AnswersAreTheSameWhateverIsGuessed) {
  auto engine = tiny_engine(kOptions);
  std::vector<GenerateRequest> requests;
  std::vector<Generation> alone;
  for (const std::uint64_t seed : {1, 2, 3}) {
    for (const double temperature : {0.0, 0.7}) {
      requests.push_back(asked(seed, temperature));
      alone.push_back(answer(*engine, requests.back()));
    }
  }
  // Another model, one that forgets after 40 tokens, one that has no room for two texts, one of fewer tokens.
  TinyShape other{.layers = 1}, fewer{.vocabulary = 290};
  LoadOptions brief = kOptions, crowded = kOptions;
  brief.context = 40;
  crowded.context = 64;
  crowded.kv_tokens = 64;
  std::vector<std::unique_ptr<DraftModel>> drafts;
  drafts.push_back(draft_of(other));
  drafts.push_back(draft_of({}, brief));
  drafts.push_back(draft_of({}, crowded));
  drafts.push_back(draft_of(fewer));
  for (auto& draft : drafts) {
    engine->set_draft(std::move(draft));
    for (std::size_t i = 0; i < requests.size(); ++i)
      EXPECT_EQ(answer(*engine, requests[i]).tokens, alone[i].tokens) << i;
  }
}

TEST(DraftModel, FollowsATextThatChanges) {
  auto draft = draft_of({});
  auto fresh = draft_of({});
  std::vector<text::TokenId> history = some_tokens(30, kVocabulary);
  (void)draft->guess(7, history, 4, 100, true);
  history.resize(20);
  const auto more = some_tokens(50, kVocabulary, 9);
  history.insert(history.end(), more.begin(), more.end());
  const auto guesses = draft->guess(7, history, 4, 100, true);
  EXPECT_FALSE(guesses.empty());
  EXPECT_EQ(guesses, fresh->guess(1, history, 4, 100, true));
  EXPECT_EQ(guesses, draft->guess(7, history, 4, 100, true));  // what was guessed has been taken back
  draft->forget(7);
  draft->forget(7);
}

TEST(DraftModel, ReadsSoManyTokensInOneCallAtMost) {
  auto draft = draft_of({});
  const auto history = some_tokens(50, kVocabulary);
  EXPECT_TRUE(draft->guess(0, history, 4, 30, true).empty());
  EXPECT_FALSE(draft->guess(0, history, 4, 30, true).empty());
  EXPECT_TRUE(draft->guess(0, history, 0, 30).empty());
}

TEST(DraftModel, AnswersOfAServiceAreTheSame) {
  std::vector<SeenChoice> alone;
  for (const bool guessed : {false, true}) {
    auto engine = byte_engine(1, 1024);
    if (guessed) {
      LoadOptions options = kOptions;
      options.kv_tokens = 256;  // fewer than all answers together have
      engine->set_draft(draft_of({.layers = 1}, options));
    }
    const auto service =
        std::move(Service::start(std::move(engine), {.running = 4, .chunk = 16, .always_draft = true}))
            .value();
    std::vector<std::shared_ptr<AnswerStream>> streams;
    for (std::uint64_t i = 0; i < 6; ++i) {
      ServiceRequest request;
      request.generate = asked(i, i % 2 == 0 ? 0 : 0.7);
      for (text::TokenId& token : request.generate.prompt) token %= 256;
      streams.push_back(std::move(service->submit(std::move(request))).value());
    }
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const SeenChoice seen = read_all(*streams[i]).choices.front();
      if (!guessed) alone.push_back(seen);
      EXPECT_EQ(seen.tokens, alone[i].tokens) << i;
    }
    EXPECT_GT(service->stats().guesses, 0u);
  }
}

TEST(SameVocabulary, IsCheckedTokenByToken) {
  files::Checkpoint target, draft;
  target.path = "large";
  draft.path = "small";
  EXPECT_EQ(check_same_vocabulary(target, draft).error().kind, ErrorKind::kUsage);
  target.tokenizer = byte_tokenizer(300);
  draft.tokenizer = byte_tokenizer(310);
  EXPECT_TRUE(check_same_vocabulary(target, draft).ok());  // padding
  draft.tokenizer = byte_tokenizer(3000);
  EXPECT_EQ(check_same_vocabulary(target, draft).error().found, "3000 tokens");
  const std::string ranks = "Yg== 0\nYQ== 1\n";
  draft.tokenizer = text::tokenizer_from_tiktoken(ranks, {.pattern = ".+", .specials = {}}, "test").value();
  const Error error = check_same_vocabulary(target, draft).error();
  EXPECT_EQ(error.where, "small");
  EXPECT_EQ(error.found, "token 0 is 'b'");
}

}  // namespace
}  // namespace maestrale::engine
