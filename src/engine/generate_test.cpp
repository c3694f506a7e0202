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
