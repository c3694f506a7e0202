#include "serve/limits.h"

#include <gtest/gtest.h>

namespace maestrale::serve {
namespace {

constexpr double kMorning_s = 20000 * 86400.0 + 3600;

class LimitsTest : public testing::Test {
 protected:
  ApiKey key(store::KeyLimits limits) {
    return {.name = "alice", .digest = {}, .id = 7, .limits = std::move(limits)};
  }
  double now_ = kMorning_s;
  Limits limits_{[this] { return now_; }};
  std::shared_ptr<Limits::Reservation> reserved_;
};

TEST_F(LimitsTest, RequestsOfAMinuteComeBackEvenly) {
  const ApiKey alice = key({.requests_per_minute = 6});
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(limits_.admit_request(alice)) << i;
  const auto refusal = limits_.admit_request(alice);
  ASSERT_TRUE(refusal);
  EXPECT_NEAR(refusal->retry_s, 10, 1e-3);
  EXPECT_NE(refusal->message.find("'alice' may send 6 requests a minute"), std::string::npos);
  EXPECT_EQ(limits_.requests(alice)->remaining, 0);
  EXPECT_NEAR(limits_.requests(alice)->reset_s, 60, 1e-3);
  now_ += 10.1;
  EXPECT_FALSE(limits_.admit_request(alice));
  EXPECT_TRUE(limits_.admit_request(alice));
  now_ += 3600;
  EXPECT_EQ(limits_.requests(alice)->remaining, 6) << "no more than a minute's are saved up";
}

TEST_F(LimitsTest, TokensAreReservedAndSettled) {
  const ApiKey alice = key({.tokens_per_minute = 600});
  ASSERT_FALSE(limits_.reserve(alice, 500, reserved_));
  EXPECT_EQ(limits_.tokens(alice)->remaining, 100);
  std::shared_ptr<Limits::Reservation> second;
  const auto refusal = limits_.reserve(alice, 200, second);
  ASSERT_TRUE(refusal);
  EXPECT_NEAR(refusal->retry_s, 10, 1e-3);
  EXPECT_EQ(second, nullptr);
  reserved_->settle(50);
  reserved_->settle(9999);  // the first counts
  EXPECT_EQ(limits_.tokens(alice)->remaining, 550);
  reserved_.reset();
  EXPECT_EQ(limits_.tokens(alice)->remaining, 550);
}

TEST_F(LimitsTest, WhatIsNeverSettledIsGivenBack) {
  const ApiKey alice = key({.tokens_per_minute = 600});
  ASSERT_FALSE(limits_.reserve(alice, 500, reserved_));
  reserved_.reset();
  EXPECT_EQ(limits_.tokens(alice)->remaining, 600);
}

TEST_F(LimitsTest, MoreThanReservedIsOwed) {
  const ApiKey alice = key({.tokens_per_minute = 600});
  ASSERT_FALSE(limits_.reserve(alice, 10, reserved_));
  reserved_->settle(1200);
  EXPECT_EQ(limits_.tokens(alice)->remaining, 0);
  EXPECT_TRUE(limits_.admit_request(alice));
  now_ += 60.2;  // the debt is paid, one token and a bit is there
  EXPECT_FALSE(limits_.admit_request(alice));
}

TEST_F(LimitsTest, ARequestLargerThanAMinuteWaitsForAFullBucket) {
  const ApiKey alice = key({.tokens_per_minute = 600});
  limits_.spend(alice, 60);
  const auto refusal = limits_.reserve(alice, 5000, reserved_);
  ASSERT_TRUE(refusal);
  EXPECT_NEAR(refusal->retry_s, 6, 1e-3);
  now_ += 6.1;
  EXPECT_FALSE(limits_.reserve(alice, 5000, reserved_));
}

TEST_F(LimitsTest, ADayEndsAtMidnight) {
  const ApiKey alice = key({.tokens_per_day = 1000});
  limits_.set_used_today(7, 900);
  const auto refusal = limits_.reserve(alice, 101, reserved_);
  ASSERT_TRUE(refusal);
  EXPECT_NEAR(refusal->retry_s, 86400 - 3600, 1e-3);
  EXPECT_EQ(limits_.tokens(alice)->remaining, 100);
  EXPECT_FALSE(limits_.reserve(alice, 100, reserved_));
  EXPECT_TRUE(limits_.admit_request(alice));
  now_ += 86400;
  EXPECT_FALSE(limits_.admit_request(alice));
  EXPECT_EQ(limits_.tokens(alice)->remaining, 1000);
}

TEST_F(LimitsTest, KeysDoNotShareAndMostHaveNone) {
  const ApiKey alice = key({.requests_per_minute = 1});
  ApiKey bob = alice;
  bob.id = 8;
  EXPECT_FALSE(limits_.admit_request(alice));
  EXPECT_FALSE(limits_.admit_request(bob));
  EXPECT_TRUE(limits_.admit_request(alice));
  ApiKey from_file = alice;
  from_file.id.reset();
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(limits_.admit_request(from_file));
  EXPECT_FALSE(limits_.requests(from_file));
  EXPECT_FALSE(limits_.tokens(alice));
}

}  // namespace
}  // namespace maestrale::serve
