#include "engine/schedule.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "ops/kv_cache.h"

namespace maestrale::engine {
namespace {

constexpr int kMaxPassedOver = 8;        // then a waiting lane goes first within its tenant
constexpr double kQuantum = 256;         // rows over weight that a tenant may be ahead of one that waits
constexpr std::int64_t kLeastRows = 16;  // of prompts in a step, however long it takes
constexpr std::int64_t kFirstRows = 64;  // of prompts in a step, while it is not known how long rows take
constexpr double kAloneSteps = 4;
constexpr double kSlower = 2.5;

bool is_aged(const LaneState& lane) { return lane.passed_over >= kMaxPassedOver; }

// Pages that `rows` more rows of a running lane take.
std::int64_t pages_for_rows(const LaneState& lane, std::int64_t rows) {
  if (rows == 0) return 0;
  return ops::KvShape::pages_for(std::max<std::int64_t>(rows - lane.room, 0)) + (lane.copies ? 1 : 0);
}

// Rows that `pages` are enough for.
std::int64_t rows_for_pages(const LaneState& lane, std::int64_t pages) {
  if (lane.copies && pages == 0) return 0;
  return lane.room + (pages - (lane.copies ? 1 : 0)) * ops::kPageTokens;
}

std::optional<std::size_t> youngest_running(std::span<const LaneState> lanes) {
  std::optional<std::size_t> youngest;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (lanes[i].running && (!youngest || lanes[i].order > lanes[*youngest].order)) youngest = i;
  }
  return youngest;
}

// Pages that running lanes are going to take: what is left of their prompts, and one more for each.
std::int64_t promised_pages(std::span<const LaneState> lanes) {
  std::int64_t pages = 0;
  for (const LaneState& lane : lanes) {
    if (lane.running) pages += pages_for_rows(lane, lane.left + 1);
  }
  return pages;
}

// Waiting lanes in the order in which they should start.
std::vector<std::size_t> candidates_of(std::span<const LaneState> lanes,
                                       std::span<const TenantState> tenants) {
  std::vector<std::size_t> waiting;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (!lanes[i].running && !lanes[i].blocked) waiting.push_back(i);
  }
  const auto rank = [&](std::size_t index) {
    const LaneState& lane = lanes[index];
    return std::tuple(tenants[lane.tenant].served, lane.tenant, !is_aged(lane), is_aged(lane) ? 0 : lane.left,
                      lane.order);
  };
  std::sort(waiting.begin(), waiting.end(), [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
  return waiting;
}

// The youngest lane of the tenant that is furthest ahead of `waiting`'s, if that is far enough and the lane
// has run long enough for the restart to be worth it.
std::optional<std::size_t> lane_ahead(std::span<const LaneState> lanes, std::span<const TenantState> tenants,
                                      const LaneState& waiting) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const LaneState& lane = lanes[i];
    const double ahead = tenants[lane.tenant].served - tenants[waiting.tenant].served;
    const auto done = static_cast<double>(lane.done);
    const bool worth = done >= std::max(kQuantum, static_cast<double>(lane.restart));
    if (!lane.running || lane.tenant == waiting.tenant || ahead <= kQuantum || !worth) continue;
    const auto rank = [&](const LaneState& other) {
      return std::tuple(tenants[other.tenant].served, other.tenant, other.order);
    };
    if (!found || rank(lane) > rank(lanes[*found])) found = i;
  }
  return found;
}

// How long a step with prompts should take that has `giving` rows that give tokens. Those who are given
// tokens feel a prompt as a slower answer: kSlower times as slow where they are as many as those who wait for
// their first one or more, slower the more wait. Where a step without prompts is long already, prompts get
// half as much time again.
double target_s(std::span<const LaneState> lanes, const StepLimits& limits, std::int64_t giving) {
  // Where nobody waits a step may be longer, but somebody may come or cancel.
  if (giving == 0) return limits.step_s * (lanes.size() == 1 ? kAloneSteps : 1);
  const double quiet_s = limits.cost.fixed_s + limits.cost.row_s * static_cast<double>(giving);
  const double for_first = static_cast<double>(std::ssize(lanes) - giving) / static_cast<double>(giving);
  const double bearable_s = quiet_s * (1 + (kSlower - 1) * std::max(1.0, 2 * for_first));
  return std::max(std::min(limits.step_s, bearable_s), 1.5 * quiet_s);
}

// Rows for prompts in a step that has `giving` rows that give tokens.
std::int64_t prompt_budget(std::span<const LaneState> lanes, const StepLimits& limits, std::int64_t giving) {
  const std::int64_t most = std::min(limits.prompt_rows, limits.rows - giving);
  const auto& [fixed_s, row_s] = limits.cost;
  if (row_s <= 0) return std::min(most, kFirstRows);
  const double rest = target_s(lanes, limits, giving) - fixed_s - row_s * static_cast<double>(giving);
  const double fit = std::clamp(rest / row_s, 0.0, static_cast<double>(most));
  return std::min(most, std::max(kLeastRows, static_cast<std::int64_t>(fit)));
}

// Shares rows out to the prompts in slices.
class PromptShares {
 public:
  PromptShares(std::span<const LaneState> lanes, std::span<const TenantState> tenants, bool oldest_first)
      : lanes_(lanes),
        tenants_(tenants.begin(), tenants.end()),
        rows_(lanes.size()),
        oldest_first_(oldest_first) {
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      if (lanes[i].running && lanes[i].left > 1) open_.push_back(i);
    }
  }

  void share(std::int64_t budget, std::int64_t pages, std::vector<LaneRows>& out) {
    const std::int64_t slice = std::max(kLeastRows, budget / 4);
    while (budget > 0 && !open_.empty()) {
      const auto chosen = std::min_element(open_.begin(), open_.end(),
                                           [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
      const LaneState& lane = lanes_[*chosen];
      std::int64_t& rows = rows_[*chosen];
      const std::int64_t held = pages_for_rows(lane, rows);
      const std::int64_t most = std::min(lane.left, rows_for_pages(lane, pages + held));
      const std::int64_t more = std::min({slice, budget, most - rows});
      if (more > 0) {
        rows += more;
        budget -= more;
        pages -= pages_for_rows(lane, rows) - held;
        tenants_[lane.tenant].served += static_cast<double>(more) / tenants_[lane.tenant].weight;
      }
      if (more <= 0 || rows == lane.left) open_.erase(chosen);
    }
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i] > 0) out.push_back({i, rows_[i]});
    }
  }

 private:
  std::tuple<double, std::size_t, std::int64_t, std::uint64_t> rank(std::size_t index) const {
    const LaneState& lane = lanes_[index];
    return {tenants_[lane.tenant].served, lane.tenant, oldest_first_ ? 0 : lane.left - rows_[index],
            lane.order};
  }

  std::span<const LaneState> lanes_;
  std::vector<TenantState> tenants_;
  std::vector<std::int64_t> rows_;
  std::vector<std::size_t> open_;
  bool oldest_first_;
};

}  // namespace

StartPlan plan_start(std::span<const LaneState> lanes, std::span<const TenantState> tenants,
                     const StepLimits& limits) {
  StartPlan plan;
  const auto running =
      std::count_if(lanes.begin(), lanes.end(), [](const LaneState& lane) { return lane.running; });
  const std::int64_t pages = limits.pages - promised_pages(lanes);
  std::vector<std::size_t> skipped;
  for (const std::size_t candidate : candidates_of(lanes, tenants)) {
    const LaneState& lane = lanes[candidate];
    if (running < limits.slots && (running == 0 || lane.pages <= pages)) {
      plan.start = candidate;
      break;
    }
    plan.stop = lane_ahead(lanes, tenants, lane);
    if (plan.stop || running >= limits.slots || is_aged(lane)) return plan;
    skipped.push_back(candidate);
  }
  if (!plan.start) return plan;
  plan.passed = std::move(skipped);
  const LaneState& started = lanes[*plan.start];
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const LaneState& lane = lanes[i];
    const bool older = lane.tenant == started.tenant && lane.order < started.order;
    if (lane.running || lane.blocked || !older) continue;
    if (std::find(plan.passed.begin(), plan.passed.end(), i) == plan.passed.end()) plan.passed.push_back(i);
  }
  return plan;
}

StepPlan plan_rows(std::span<const LaneState> lanes, std::span<const TenantState> tenants,
                   const StepLimits& limits) {
  StepPlan plan;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (lanes[i].running && lanes[i].left == 1) plan.rows.push_back({i, 1});
  }
  std::sort(plan.rows.begin(), plan.rows.end(),
            [&](const LaneRows& a, const LaneRows& b) { return lanes[a.lane].order < lanes[b.lane].order; });
  const auto giving = std::ssize(plan.rows);
  CHECK(giving <= limits.rows, "no more lanes run than a step has rows");
  std::int64_t pages = limits.pages;
  for (const LaneRows& row : plan.rows) pages -= pages_for_rows(lanes[row.lane], 1);
  if (pages < 0) return {.rows = {}, .stop = youngest_running(lanes)};
  PromptShares shares(lanes, tenants, limits.step % 2 == 1);
  shares.share(prompt_budget(lanes, limits, giving), pages, plan.rows);
  if (plan.rows.empty()) plan.stop = youngest_running(lanes);
  return plan;
}

void CostMeter::add(std::int64_t rows, double seconds) {
  constexpr double kFade = 0.95;
  const auto n = static_cast<double>(rows);
  for (double* sum : {&weight_, &rows_, &squares_, &seconds_, &products_}) *sum *= kFade;
  weight_ += 1;
  rows_ += n;
  squares_ += n * n;
  seconds_ += seconds;
  products_ += n * seconds;
}

StepCost CostMeter::cost() const {
  if (weight_ == 0) return {};
  const double spread = squares_ - rows_ * rows_ / weight_;
  const double mean = seconds_ / rows_;
  if (spread < 0.01 * squares_) return {.fixed_s = 0, .row_s = mean};
  const double row_s = (products_ - rows_ * seconds_ / weight_) / spread;
  const double fixed_s = (seconds_ - row_s * rows_) / weight_;
  if (row_s <= 0 || fixed_s < 0) return {.fixed_s = 0, .row_s = mean};
  return {.fixed_s = fixed_s, .row_s = row_s};
}

}  // namespace maestrale::engine
