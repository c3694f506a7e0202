#include <gtest/gtest.h>

#include <cmath>

#include "engine/test_support.h"

namespace maestrale::engine {
namespace {

class Generate : public testing::Test {
 protected:
  static GenerateRequest greedy(std::int64_t max_tokens) {
    GenerateRequest request;
    request.prompt = some_tokens(10, 301);
    request.sampling.temperature = 0;
    request.max_tokens = max_tokens;
    return request;
  }
  Generation run(const GenerateRequest& request) {
    auto result = engine_->generate(request, {});
    EXPECT_TRUE(result.ok()) << result.error().render();
    return result.ok() ? std::move(result).value() : Generation();
  }
  Error refusal(const GenerateRequest& request) {
    const auto result = engine_->generate(request, {});
    EXPECT_FALSE(result.ok());
    return result.ok() ? Error{} : result.error();
  }
  std::unique_ptr<Engine> engine_ = tiny_engine({.threads = 1, .context = 64, .batch_rows = 32});
};

TEST_F(Generate, GreedyTakesTheLargestLogit) {
  const GenerateRequest request = greedy(5);
  const Generation generation = run(request);
  ASSERT_EQ(generation.tokens.size(), 5u);
  EXPECT_EQ(generation.reason, FinishReason::kLength);
  std::vector<text::TokenId> history = request.prompt;
  std::vector<float> logits(301);
  for (const text::TokenId token : generation.tokens) {
    const int sequence = engine_->open_sequence();
    ASSERT_TRUE(engine_->append(sequence, history, 0, logits.data()).ok());
    engine_->close_sequence(sequence);
    EXPECT_EQ(token, std::max_element(logits.begin(), logits.end()) - logits.begin());
    history.push_back(token);
  }
}

TEST_F(Generate, TheSameSeedGivesTheSameTokens) {
  GenerateRequest request = greedy(20);
  request.sampling.temperature = 1;
  request.sampling.seed = 3;
  const Generation one = run(request), two = run(request);
  EXPECT_EQ(one.tokens, two.tokens);
  request.sampling.seed = 4;
  EXPECT_NE(run(request).tokens, one.tokens);
}

TEST_F(Generate, StopsAtTheEndOfTheContext) {
  const Generation generation = run(greedy(-1));
  EXPECT_EQ(generation.reason, FinishReason::kContext);
  // The last token needs no place of its own: nothing is computed from it.
  EXPECT_EQ(generation.tokens.size(), 64u - 10 + 1);
  GenerateRequest full = greedy(-1);
  full.prompt = some_tokens(64, 301);
  EXPECT_EQ(run(full).tokens.size(), 1u);
}

TEST_F(Generate, NoTokensIsAnAnswerToo) {
  const Generation generation = run(greedy(0));
  EXPECT_TRUE(generation.tokens.empty());
  EXPECT_EQ(generation.reason, FinishReason::kLength);
}

TEST_F(Generate, AStopTokenEndsAndIsNotPartOfTheAnswer) {
  const std::vector<text::TokenId> tokens = run(greedy(8)).tokens;
  GenerateRequest request = greedy(8);
  request.stop_tokens = {tokens[3]};
  const Generation stopped = run(request);
  const auto end = std::find(tokens.begin(), tokens.end(), tokens[3]);
  EXPECT_EQ(stopped.reason, FinishReason::kStopToken);
  EXPECT_EQ(stopped.tokens, std::vector<text::TokenId>(tokens.begin(), end));
}

TEST_F(Generate, TheCallerMayCancel) {
  int seen = 0;
  const auto result = engine_->generate(greedy(20), [&](const TokenEvent&) { return ++seen < 3; });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->reason, FinishReason::kCancelled);
  EXPECT_EQ(result->tokens.size(), 3u);
}

TEST_F(Generate, GoesOnFromACachedPrompt) {
  const GenerateRequest request = greedy(12);
  const Generation fresh = run(request);
  const int sequence = engine_->open_sequence();
  ASSERT_TRUE(engine_->append(sequence, std::span(request.prompt).first(6), 0, nullptr).ok());
  for (const std::int64_t cached : {6, 0, 1000, -5}) {  // out of range: what can be used is used
    if (cached == 1000) {
      ASSERT_TRUE(engine_->append(sequence, request.prompt, 0, nullptr).ok());
    }
    const auto going_on = engine_->generate_on(sequence, cached, request, {});
    ASSERT_TRUE(going_on.ok());
    EXPECT_EQ(going_on->tokens, fresh.tokens) << cached;
  }
}

// Repeats its prompt over and over, so that guesses are often right.
class Parrot : public TokenConstraint {
 public:
  Parrot(std::vector<text::TokenId> words, std::size_t wrong_every)
      : words_(words), wrong_every_(wrong_every) {}
  void mask(std::span<std::uint64_t> mask) override {
    std::fill(mask.begin(), mask.end(), 0);
    // Now and then two may follow, and the model chooses.
    for (const auto token : {next(), wrong_every_ > 0 && at_ % wrong_every_ == 0 ? next() + 1 : next()})
      mask[static_cast<std::size_t>(token / 64)] |= std::uint64_t{1} << (token % 64);
  }
  bool accept(text::TokenId) override {
    ++at_;
    return true;
  }
  bool finished() const override { return false; }

 private:
  text::TokenId next() const { return words_[at_ % words_.size()]; }
  std::vector<text::TokenId> words_;
  std::size_t wrong_every_ = 0, at_ = 0;
};

TEST_F(Generate, GuessesDoNotChangeTheAnswer) {
  std::int64_t guessed = 0, right = 0;
  for (const std::size_t wrong_every : {0, 1, 3}) {
    for (const double temperature : {0.0, 1.0}) {
      for (const std::int64_t tokens : {1, 2, 30, -1}) {
        GenerateRequest request = greedy(tokens);
        request.sampling.temperature = temperature;
        request.sampling.logprobs = 2;
        std::vector<float> bits[2];
        std::vector<text::TokenId> ids[2];
        for (const std::int64_t drafts : {0, 8}) {
          request.drafts = drafts;
          request.always_draft = true;
          Parrot parrot(request.prompt, wrong_every);
          const auto result = engine_->generate(
              request,
              [&](const TokenEvent& event) {
                bits[drafts / 8].push_back(event.logprob);
                return true;
              },
              &parrot);
          ASSERT_TRUE(result.ok()) << result.error().render();
          ids[drafts / 8] = result->tokens;
          guessed += result->guesses;
          right += result->guessed_right;
          if (drafts == 0) {
            EXPECT_EQ(result->guesses, 0);
          }
        }
        EXPECT_EQ(ids[0], ids[1]);
        EXPECT_EQ(bits[0], bits[1]);
      }
    }
  }
  EXPECT_GT(right, 50);
  EXPECT_GT(guessed, right);  // wrong ones were there too
}

TEST_F(Generate, WrongGuessesAreForgottenWhenItEnds) {
  GenerateRequest request = greedy(20);
  request.always_draft = true;
  Parrot parrot(request.prompt, 1);
  const int sequence = engine_->open_sequence();
  const auto first = engine_->generate_on(sequence, 0, request, {}, &parrot);
  ASSERT_TRUE(first.ok());
  GenerateRequest more = request;
  more.prompt.insert(more.prompt.end(), first->tokens.begin(), first->tokens.end());
  const auto going_on =
      engine_->generate_on(sequence, static_cast<std::int64_t>(more.prompt.size()) - 1, more, {});
  ASSERT_TRUE(going_on.ok());
  engine_->close_sequence(sequence);
  EXPECT_EQ(going_on->tokens, run(more).tokens);
}

TEST_F(Generate, RefusesByName) {
  GenerateRequest request = greedy(4);
  request.prompt.clear();
  EXPECT_EQ(refusal(request).kind, ErrorKind::kUsage);
  request.prompt = some_tokens(65, 301);
  EXPECT_EQ(refusal(request).kind, ErrorKind::kResource);
  request.prompt = {400};
  EXPECT_NE(refusal(request).render().find("token id"), std::string::npos);
  request = greedy(-2);
  EXPECT_EQ(refusal(request).kind, ErrorKind::kUsage);
  request = greedy(4);
  request.sampling.temperature = std::nan("");
  EXPECT_NE(refusal(request).render().find("temperature"), std::string::npos);
  request = greedy(4);
  request.stop_strings = {""};
  EXPECT_EQ(refusal(request).kind, ErrorKind::kUsage);
}

TEST_F(Generate, AnErrorLeavesTheEngineUsable) {
  GenerateRequest bad = greedy(4);
  bad.prompt = {400};
  for (int i = 0; i < 50; ++i) refusal(bad);
  EXPECT_EQ(run(greedy(4)).tokens.size(), 4u);
}

TEST_F(Generate, ReportsAlternatives) {
  GenerateRequest request = greedy(2);
  request.sampling.logprobs = 3;
  std::vector<TokenEvent> events;
  ASSERT_TRUE(engine_
                  ->generate(request,
                             [&](const TokenEvent& event) {
                               events.push_back(event);
                               return true;
                             })
                  .ok());
  ASSERT_EQ(events.size(), 2u);
  ASSERT_EQ(events[0].top_logprobs.size(), 3u);
  EXPECT_EQ(events[0].top_logprobs[0].token, events[0].token);
  EXPECT_LE(events[0].logprob, 0);
}

}  // namespace
}  // namespace maestrale::engine
