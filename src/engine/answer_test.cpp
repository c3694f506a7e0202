#include "engine/answer.h"

#include <gtest/gtest.h>

#include <limits>

#include "engine/service_test_support.h"

namespace maestrale::engine {
namespace {

// Logits that leave one choice.
std::vector<float> only(text::TokenId token) {
  std::vector<float> logits(301, 0.0f);
  logits[static_cast<std::size_t>(token)] = 50;
  return logits;
}

class Answers : public testing::Test {
 protected:
  Answer make(const GenerateRequest& request, TokenConstraint* constraint = nullptr) {
    return std::move(Answer::create(request, 32, tokenizer_.get(), constraint)).value();
  }
  static GenerateRequest greedy() {
    GenerateRequest request;
    request.prompt = {1, 2, 3};
    request.sampling.temperature = 0;
    return request;
  }
  // The text so far.
  void say(Answer& answer, std::string_view bytes) {
    for (const char byte : bytes) {
      const auto event = answer.next(only(static_cast<unsigned char>(byte)), workspace_);
      ASSERT_TRUE(event.ok());
      ASSERT_TRUE(event->has_value());
      EXPECT_TRUE((*event)->is_token);
      shown_ += (*event)->text;
    }
  }

  text::TokenizerPtr tokenizer_ = byte_tokenizer(301);
  SamplerWorkspace workspace_;
  std::string shown_;
};

TEST_F(Answers, HeldBackTextComesInAnEventOfItsOwn) {
  GenerateRequest request = greedy();
  request.stop_strings = {"world"};
  request.max_tokens = 6;
  Answer answer = make(request);
  say(answer, "hi wor");
  EXPECT_EQ(shown_, "hi ");
  EXPECT_EQ(answer.reason(), FinishReason::kLength);
  const auto rest = answer.rest();
  ASSERT_TRUE(rest.has_value());
  EXPECT_EQ(rest->text, "wor");
  EXPECT_FALSE(rest->is_token);
  EXPECT_FALSE(answer.rest().has_value());
}

TEST_F(Answers, AStopStringIsNeverShown) {
  GenerateRequest request = greedy();
  request.stop_strings = {"world"};
  Answer answer = make(request);
  say(answer, "hi world");
  EXPECT_EQ(shown_, "hi ");
  EXPECT_EQ(answer.reason(), FinishReason::kStopString);
  EXPECT_EQ(answer.tokens().size(), 8u);
  EXPECT_FALSE(answer.rest().has_value());
}

TEST_F(Answers, AnEndTokenEndsUnlessToldOtherwise) {
  GenerateRequest request = greedy();
  Answer answer = make(request);
  const auto end = answer.next(only(256), workspace_);
  ASSERT_TRUE(end.ok());
  EXPECT_FALSE(end->has_value());
  EXPECT_EQ(answer.reason(), FinishReason::kStopToken);
  EXPECT_TRUE(answer.tokens().empty());
  request.ignore_end = true;
  Answer other = make(request);
  EXPECT_TRUE(other.next(only(256), workspace_).value().has_value());
  EXPECT_FALSE(other.over());
}

TEST_F(Answers, AConstraintDecidesWhatMayFollow) {
  Spelling yes("yes");
  Answer answer = make(greedy(), &yes);
  for (int i = 0; i < 3; ++i) shown_ += answer.next(only('n'), workspace_).value()->text;
  EXPECT_EQ(shown_, "yes");
  EXPECT_EQ(answer.reason(), FinishReason::kStopToken);
  Spelling nothing("");
  Answer empty = make(greedy(), &nothing);
  EXPECT_FALSE(empty.next(only('n'), workspace_).value().has_value());
  EXPECT_EQ(empty.reason(), FinishReason::kStopToken);
}

TEST_F(Answers, TheContextEndsThem) {
  Answer answer = make(greedy());
  say(answer, std::string(30, 'a'));  // the last token needs no place of its own
  EXPECT_EQ(answer.reason(), FinishReason::kContext);
}

TEST(CheckRequest, NamesWhatIsWrong) {
  GenerateRequest request;
  EXPECT_EQ(check_request(request, 10, 4).error().kind, ErrorKind::kUsage);
  request.prompt = {1, 2, 3, 4};
  EXPECT_TRUE(check_request(request, 10, 4).ok());
  EXPECT_EQ(check_request(request, 10, 3).error().kind, ErrorKind::kResource);
  for (const text::TokenId token : {-1, 10, std::numeric_limits<text::TokenId>::max()}) {
    request.prompt = {1, token};
    EXPECT_EQ(check_request(request, 10, 4).error().where, "prompt") << token;
  }
}

}  // namespace
}  // namespace maestrale::engine
