// A pool of workers for parallel regions. Within a step workers spin for the next region; between steps they
// sleep. The caller is worker 0. Work is handed out in chunks to whoever is there: a worker that the system
// has not woken in time is not waited for, one that it holds up costs one chunk, and where that happens too
// often, because others use the cores, the workers sit out for a while. The results never depend on who did
// what.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace maestrale {

// Cores that this process may use: the affinity mask, cut down by a cgroup's CPU quota. At least 1.
int available_cores();

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // 1 … kMaxThreads
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  static constexpr int kMaxThreads = 1024;
  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // body(index, worker) once for every index in [0, count); returns when all are done. Not reentrant.
  void run(std::int64_t count, const std::function<void(std::int64_t index, int worker)>& body);

 private:
  using Clock = std::chrono::steady_clock;

  void work(int worker);
  void drain(int worker);
  bool enter(std::uint32_t& seen);
  void leave();
  void join(Clock::time_point start);
  void judge(Clock::duration lost, Clock::time_point start, Clock::time_point end);

  std::vector<std::thread> workers_;
  const std::function<void(std::int64_t, int)>* body_ = nullptr;
  std::int64_t count_ = 0;
  alignas(64) std::atomic<std::int64_t> next_{0};
  // The current region: its number, whether workers may enter, how many are inside.
  alignas(64) std::atomic<std::uint32_t> region_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> stop_{false};

  // Known to the caller alone: what waiting for held-up workers has cost, and until when they sit out.
  Clock::duration lost_{}, watched_{}, rest_{};
  Clock::time_point sit_out_until_{};
};

}  // namespace maestrale
