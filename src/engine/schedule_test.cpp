#include "engine/schedule.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

namespace maestrale::engine {
namespace {

const std::vector<TenantState> kOne = {{}};
const StepLimits kLimits{.slots = 8,
                         .rows = 128,
                         .prompt_rows = 100,
                         .pages = 1000,
                         .step_s = 1,
                         .cost = {.fixed_s = 0.5, .row_s = 1e-9}};

LaneState giving(std::uint64_t order, std::int64_t room = 10) {
  return {.order = order, .running = true, .left = 1, .room = room};
}
LaneState prompt(std::uint64_t order, std::int64_t left, std::size_t tenant = 0) {
  return {.tenant = tenant, .order = order, .running = true, .left = left, .room = 0};
}
LaneState waiting(std::uint64_t order, std::int64_t left, std::size_t tenant = 0) {
  return {.tenant = tenant, .order = order, .left = left, .pages = (left + 64) / 64};
}

std::map<std::size_t, std::int64_t> rows_of(const StepPlan& plan) {
  std::map<std::size_t, std::int64_t> rows;
  for (const LaneRows& part : plan.rows) rows[part.lane] += part.rows;
  return rows;
}

TEST(PlanRows, AnswersFirstThenPrompts) {
  const std::vector<LaneState> lanes = {prompt(1, 500), giving(2), giving(3)};
  const StepPlan plan = plan_rows(lanes, kOne, kLimits);
  ASSERT_FALSE(plan.stop);
  ASSERT_EQ(plan.rows.size(), 3u);
  EXPECT_EQ(plan.rows[0].lane, 1u);
  EXPECT_EQ(plan.rows[1].lane, 2u);
  EXPECT_EQ(rows_of(plan), (std::map<std::size_t, std::int64_t>{{0, 100}, {1, 1}, {2, 1}}));
  StepLimits narrow = kLimits;
  narrow.rows = 50;
  EXPECT_EQ(rows_of(plan_rows(lanes, kOne, narrow))[0], 48);
}

TEST(PlanRows, ShortPromptsAreNotHeldUpAndOldOnesNotForgotten) {
  const std::vector<LaneState> lanes = {prompt(1, 5000), prompt(2, 30), prompt(3, 60)};
  StepLimits limits = kLimits;
  EXPECT_EQ(rows_of(plan_rows(lanes, kOne, limits)),
            (std::map<std::size_t, std::int64_t>{{0, 10}, {1, 30}, {2, 60}}));
  limits.step = 1;
  EXPECT_EQ(rows_of(plan_rows(lanes, kOne, limits)), (std::map<std::size_t, std::int64_t>{{0, 100}}));
}

TEST(PlanRows, TenantsShareByWeight) {
  const std::vector<TenantState> tenants = {{.weight = 1}, {.weight = 3}};
  const std::vector<LaneState> lanes = {prompt(1, 5000, 0), prompt(2, 5000, 0), prompt(3, 5000, 1)};
  std::vector<TenantState> state = tenants;
  std::map<std::size_t, std::int64_t> total;
  for (int step = 0; step < 100; ++step) {
    StepLimits limits = kLimits;
    limits.step = static_cast<std::uint64_t>(step);
    for (const LaneRows& part : plan_rows(lanes, state, limits).rows) {
      total[lanes[part.lane].tenant] += part.rows;
      TenantState& tenant = state[lanes[part.lane].tenant];
      tenant.served += static_cast<double>(part.rows) / tenant.weight;
    }
  }
  EXPECT_NEAR(static_cast<double>(total[1]) / static_cast<double>(total[0]), 3, 0.1);
}

TEST(PlanRows, TimeLimitsPromptsWhileOthersWait) {
  StepLimits limits = kLimits;
  limits.cost = {.fixed_s = 0.3, .row_s = 0.01};
  EXPECT_EQ(rows_of(plan_rows(std::vector{prompt(1, 500), giving(2)}, kOne, limits))[0], 69);
  EXPECT_EQ(rows_of(plan_rows(std::vector{prompt(1, 500)}, kOne, limits))[0], 100);  // nobody waits
  limits.cost.row_s = 0.05;
  EXPECT_EQ(rows_of(plan_rows(std::vector{prompt(1, 500)}, kOne, limits))[0], 74);
  limits.cost = {};
  EXPECT_EQ(rows_of(plan_rows(std::vector{prompt(1, 500)}, kOne, limits))[0], 64);
}

TEST(PlanRows, PromptsSlowAnswersDownByAFactor) {
  StepLimits limits = kLimits;
  limits.rows = 1000;
  limits.prompt_rows = 500;
  limits.cost = {.fixed_s = 0.0205, .row_s = 0.001};
  // A step without the prompt takes 22.5 ms: 33.75 ms more, and four prompts for two answers have four times
  // that.
  EXPECT_EQ(rows_of(plan_rows(std::vector{prompt(1, 500), giving(2), giving(3)}, kOne, limits))[0], 33);
  const std::vector crowd{prompt(1, 500), giving(2), giving(3), waiting(4, 9), waiting(5, 9), waiting(6, 9)};
  EXPECT_EQ(rows_of(plan_rows(crowd, kOne, limits))[0], 135);
  limits.step_s = 0.04;
  EXPECT_EQ(rows_of(plan_rows(crowd, kOne, limits))[0], 17);
  limits.cost.fixed_s = 0.0985;  // slower than a step should be: half as long again
  EXPECT_EQ(rows_of(plan_rows(crowd, kOne, limits))[0], 50);
}

TEST(PlanRows, TheYoungestGivesItsPagesBack) {
  StepLimits limits = kLimits;
  limits.pages = 1;
  const std::vector<LaneState> two = {giving(5, 0), giving(4, 0), giving(3)};
  const StepPlan plan = plan_rows(two, kOne, limits);
  EXPECT_TRUE(plan.rows.empty());
  EXPECT_EQ(plan.stop, 0u);
  // A shared page costs a copy.
  LaneState copying = giving(1);
  copying.copies = true;
  limits.pages = 0;
  EXPECT_EQ(plan_rows(std::vector{copying, giving(2)}, kOne, limits).stop, 1u);
}

TEST(PlanRows, PromptsTakeThePagesThatAreLeft) {
  StepLimits limits = kLimits;
  limits.pages = 1;
  LaneState lane = prompt(1, 500);
  lane.room = 10;
  EXPECT_EQ(rows_of(plan_rows(std::vector{lane, giving(2)}, kOne, limits))[0], 74);
  limits.pages = 0;
  lane.room = 0;
  EXPECT_EQ(rows_of(plan_rows(std::vector{lane, giving(2)}, kOne, limits)),
            (std::map<std::size_t, std::int64_t>{{1, 1}}));
  EXPECT_EQ(plan_rows(std::vector{lane, prompt(2, 9)}, kOne, limits).stop, 1u);
}

TEST(PlanStart, TheShortestUntilAnOldOneHasWaitedLongEnough) {
  std::vector<LaneState> lanes = {waiting(1, 5000), waiting(2, 100), waiting(3, 50)};
  StartPlan plan = plan_start(lanes, kOne, kLimits);
  EXPECT_EQ(plan.start, 2u);
  EXPECT_EQ(plan.passed, (std::vector<std::size_t>{0, 1}));
  lanes[0].passed_over = 8;
  EXPECT_EQ(plan_start(lanes, kOne, kLimits).start, 0u);
  lanes[0].blocked = true;
  EXPECT_EQ(plan_start(lanes, kOne, kLimits).start, 2u);
}

TEST(PlanStart, TheTenantThatWasServedLeastIsNext) {
  const std::vector<TenantState> tenants = {{.served = 10}, {.served = 5}};
  EXPECT_EQ(plan_start(std::vector{waiting(1, 10, 0), waiting(2, 100, 1)}, tenants, kLimits).start, 1u);
}

TEST(PlanStart, NeedsASlotAndPages) {
  StepLimits limits = kLimits;
  limits.slots = 1;
  EXPECT_FALSE(plan_start(std::vector{giving(1), waiting(2, 10)}, kOne, limits).start);
  limits.slots = 2;
  EXPECT_EQ(plan_start(std::vector{giving(1), waiting(2, 10)}, kOne, limits).start, 1u);
  limits.pages = 3;
  std::vector<LaneState> lanes = {giving(1), waiting(2, 400), waiting(3, 200), waiting(4, 100)};
  const StartPlan plan = plan_start(lanes, kOne, limits);
  EXPECT_EQ(plan.start, 3u);
  lanes[1].passed_over = 8;  // nobody goes before it any more
  EXPECT_FALSE(plan_start(lanes, kOne, limits).start);
  lanes[0] = prompt(1, 300);  // the prompt that runs has been promised pages
  EXPECT_FALSE(plan_start(std::vector{lanes[0], lanes[3]}, kOne, limits).start);
  EXPECT_EQ(plan_start(std::vector{waiting(2, 400)}, kOne, limits).start, 0u);  // alone: the pool is enough
}

TEST(PlanStart, ATenantFarAheadGivesItsPlace) {
  StepLimits limits = kLimits;
  limits.slots = 2;
  std::vector<LaneState> lanes = {giving(1), giving(2), waiting(3, 10, 1)};
  lanes[0].done = lanes[1].done = 1000;
  std::vector<TenantState> tenants = {{.served = 200}, {.served = 0}};
  EXPECT_FALSE(plan_start(lanes, tenants, limits).stop);
  tenants[0].served = 300;
  EXPECT_EQ(plan_start(lanes, tenants, limits).stop, 1u);
  lanes[1].restart = 2000;  // it would cost more than it has done
  EXPECT_EQ(plan_start(lanes, tenants, limits).stop, 0u);
  lanes[0].done = 10;
  EXPECT_FALSE(plan_start(lanes, tenants, limits).stop);
}

TEST(CostMeter, FindsTheLine) {
  CostMeter meter;
  EXPECT_EQ(meter.cost().row_s, 0);
  meter.add(10, 0.2);
  EXPECT_NEAR(meter.cost().row_s, 0.02, 1e-9);
  for (int i = 0; i < 400; ++i) {
    const std::int64_t rows = i % 7 == 0 ? 100 : 1 + i % 3;
    meter.add(rows, 0.05 + 0.002 * static_cast<double>(rows));
  }
  EXPECT_NEAR(meter.cost().fixed_s, 0.05, 0.001);
  EXPECT_NEAR(meter.cost().row_s, 0.002, 0.0001);
}

}  // namespace
}  // namespace maestrale::engine
