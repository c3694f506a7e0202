// What the next step computes: pure functions from the state of all lanes (a lane is one answer, running or
// waiting) to the rows of one forward. Tenants are served by their weights (virtual time: rows over weight),
// within a tenant short prompts go first and old ones are not forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace maestrale::engine {

struct LaneState {
  std::size_t tenant = 0;   // index into the tenants
  std::uint64_t order = 0;  // age, unique: the lower the older
  bool running = false;     // has a sequence
  std::int64_t left = 1;    // rows until it gives a token
  // Of a running lane.
  std::int64_t room = 0;     // rows that still fit into its pages
  bool copies = false;       // writing takes a page more: its last one is shared
  std::int64_t done = 0;     // rows since it was started
  std::int64_t restart = 0;  // rows that would be computed again if it were stopped
  // Of a waiting lane.
  std::int64_t pages = 0;  // that it takes to its first token
  bool blocked = false;    // another is computing what it begins with
  int passed_over = 0;     // how often others were started before it
};

struct TenantState {
  double weight = 1;
  double served = 0;  // rows over weight
};

struct StepCost {
  double fixed_s = 0, row_s = 0;
};

struct StepLimits {
  std::int64_t slots = 0;        // lanes that run together
  std::int64_t rows = 0;         // of one step, at least `slots`
  std::int64_t prompt_rows = 0;  // of them for prompts
  std::int64_t pages = 0;        // that can be had now
  double step_s = 0;             // aim for the length of a step while others wait for theirs
  StepCost cost;
  std::uint64_t step = 0;  // steps so far: every second one favours the oldest prompt of a tenant
};

// One decision about who runs; asked for again until nothing changes.
struct StartPlan {
  std::optional<std::size_t> start;  // gets a sequence
  std::optional<std::size_t> stop;   // loses it, to a tenant that is owed more
  std::vector<std::size_t> passed;   // older waiting lanes, where one was started
};
StartPlan plan_start(std::span<const LaneState> lanes, std::span<const TenantState> tenants,
                     const StepLimits& limits);

struct LaneRows {
  std::size_t lane = 0;
  std::int64_t rows = 0;
};
// Either rows, or the lane that has to give its pages back before there can be any.
struct StepPlan {
  std::vector<LaneRows> rows;  // lanes that give a token first
  std::optional<std::size_t> stop;
};
StepPlan plan_rows(std::span<const LaneState> lanes, std::span<const TenantState> tenants,
                   const StepLimits& limits);

// Learns what a step takes from what steps took: a line through (rows, seconds), old steps fading.
class CostMeter {
 public:
  void add(std::int64_t rows, double seconds);
  StepCost cost() const;

 private:
  double weight_ = 0, rows_ = 0, squares_ = 0, seconds_ = 0, products_ = 0;
};

}  // namespace maestrale::engine
