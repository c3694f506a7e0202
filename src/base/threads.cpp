#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>

#include "base/check.h"

namespace maestrale {
namespace {

// Long enough to bridge the gap between two regions of one step, short enough to be invisible in idle load.
constexpr int kSpins = 20000;
// Rounds that the caller spins for the last chunks before it sleeps, which frees its core for a held-up
// worker.
constexpr int kJoinSpins = 4000;

// A region's word: 15 bits of its number, whether it is open, the workers inside. Numbers come round again; a
// worker that slept so long misses one region, which the others do without it.
constexpr std::uint32_t kInside = 0xffff, kOpen = 0x10000, kNumber = 0xfffe0000, kNextNumber = 0x20000;

// Of so much watched time a share above kBearable lost to held-up workers makes them sit out, first for
// kFirstRest, twice as long each time, at most kLongestRest.
constexpr auto kWatch = std::chrono::milliseconds(10);
constexpr auto kFirstRest = std::chrono::milliseconds(50);
constexpr auto kLongestRest = std::chrono::milliseconds(800);
constexpr int kBearable = 3;  // a third

enum class End : bool { kFirst, kLast };

// Takes one index from an end of what is left of a share; false where nothing is.
template <End kEnd>
bool take(std::atomic<std::uint64_t>& left, std::int64_t& index) {
  constexpr std::uint64_t kOneFirst = std::uint64_t{1} << 32;
  std::uint64_t now = left.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t first = now >> 32, end = now & 0xffffffff;
    if (first >= end) return false;
    const std::uint64_t then = kEnd == End::kFirst ? now + kOneFirst : now - 1;
    if (!left.compare_exchange_weak(now, then, std::memory_order_relaxed)) continue;
    index = static_cast<std::int64_t>(kEnd == End::kFirst ? first : end - 1);
    return true;
  }
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// CPUs granted by a cgroup (v2 cpu.max, v1 cfs quota); 0 where none is set.
double cgroup_quota() {
  std::string quota;
  double period = 0;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> quota >> period) {
    return quota == "max" || period <= 0 ? 0 : std::stod(quota) / period;
  }
  double microseconds = 0;
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (v1_quota >> microseconds && v1_period >> period && microseconds > 0 && period > 0)
    return microseconds / period;
  return 0;
}

}  // namespace

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof(set), &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(std::thread::hardware_concurrency());
  const double quota = cgroup_quota();
  if (quota > 0) cores = std::min(cores, static_cast<int>(std::ceil(quota)));
  return std::max(cores, 1);
}

ThreadPool::ThreadPool(int threads) {
  CHECK(threads >= 1 && threads <= kMaxThreads, "thread count is validated by the caller");
  shares_ = std::make_unique<Share[]>(static_cast<std::size_t>(threads));
  workers_.reserve(static_cast<std::size_t>(threads - 1));
  for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  region_.store(((region_.load() & kNumber) + kNextNumber) | kOpen, std::memory_order_release);
  region_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(std::int64_t count, const std::function<void(std::int64_t, int)>& body) {
  if (count <= 0) return;
  CHECK(count <= std::numeric_limits<std::uint32_t>::max(), "a region has fewer than 2^32 indices");
  const bool alone = workers_.empty() || count == 1;
  const Clock::time_point start = alone ? Clock::time_point{} : Clock::now();
  if (alone || start < sit_out_until_) {
    for (std::int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  body_ = &body;
  deal(static_cast<std::uint64_t>(count));
  region_.store(((region_.load(std::memory_order_relaxed) & kNumber) + kNextNumber) | kOpen,
                std::memory_order_release);
  region_.notify_all();
  drain(0);
  join(start);
}

void ThreadPool::deal(std::uint64_t count) {
  const auto size = static_cast<std::uint64_t>(this->size());
  for (std::uint64_t worker = 0; worker < size; ++worker) {
    shares_[worker].left.store((count * worker / size) << 32 | count * (worker + 1) / size,
                               std::memory_order_relaxed);
  }
}

void ThreadPool::drain(int worker) {
  std::int64_t index = 0;
  while (take<End::kFirst>(shares_[static_cast<std::size_t>(worker)].left, index)) (*body_)(index, worker);
  for (int away = 1; away < size(); ++away) {
    std::atomic<std::uint64_t>& other = shares_[static_cast<std::size_t>((worker + away) % size())].left;
    while (take<End::kLast>(other, index)) (*body_)(index, worker);
  }
}

// Closes the region and waits for the workers inside.
void ThreadPool::join(Clock::time_point start) {
  region_.fetch_and(~kOpen, std::memory_order_acq_rel);
  const auto inside = [this] { return (region_.load(std::memory_order_acquire) & kInside) != 0; };
  if (!inside()) return judge({}, start, Clock::now());
  const Clock::time_point drained = Clock::now();
  for (int spin = 0; spin < kJoinSpins && inside(); ++spin) pause();
  if (inside()) {
    caller_sleeps_.store(true);
    for (std::uint32_t now = region_.load(); (now & kInside) != 0; now = region_.load()) region_.wait(now);
    caller_sleeps_.store(false);
  }
  const Clock::time_point end = Clock::now();
  judge(end - drained, start, end);
}

void ThreadPool::judge(Clock::duration lost, Clock::time_point start, Clock::time_point end) {
  lost_ += lost;
  watched_ += end - start;
  if (watched_ < kWatch) return;
  if (lost_ * kBearable > watched_) {
    rest_ = std::clamp<Clock::duration>(2 * rest_, kFirstRest, kLongestRest);
    sit_out_until_ = end + rest_;
  } else {
    rest_ = {};
  }
  lost_ = watched_ = {};
}

// Whether the worker got into an open region that it has not been in.
bool ThreadPool::enter(std::uint32_t& seen) {
  std::uint32_t now = region_.load(std::memory_order_acquire);
  while ((now & kOpen) != 0 && (now & kNumber) != seen) {
    if (!region_.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel)) continue;
    seen = now & kNumber;
    return true;
  }
  return false;
}

void ThreadPool::leave() {
  const std::uint32_t before = region_.fetch_sub(1);
  if ((before & kInside) == 1 && caller_sleeps_.load()) region_.notify_all();
}

void ThreadPool::work(int worker) {
  std::uint32_t seen = 0;
  for (;;) {
    bool entered = enter(seen);
    for (int spin = 0; !entered && spin < kSpins; ++spin) {
      pause();
      entered = enter(seen);
    }
    while (!entered) {
      const std::uint32_t now = region_.load(std::memory_order_acquire);
      entered = enter(seen);
      if (!entered) region_.wait(now, std::memory_order_acquire);
    }
    if (stop_.load(std::memory_order_relaxed)) return;
    drain(worker);
    leave();
  }
}

}  // namespace maestrale
