// A pool of workers for parallel regions. Within a step workers spin for the next region; between steps they
// sleep. The caller is worker 0. Each worker has an equal share of a region's indices, which it takes in
// order, so that from region to region it meets the same rows and reads long streams; who has done his takes
// from the ends of the others' shares. So a worker that the system has not woken in time is not waited for,
// one that it holds up costs one index, and where that happens too often, because others use the cores, the
// workers sit out for a while. The results never depend on who did what.
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

  // body(index, worker) once for every index in [0, count), count < 2^32; returns when all are done. Not
  // reentrant. The share of worker w begins at count * w / size().
  void run(std::int64_t count, const std::function<void(std::int64_t index, int worker)>& body);

 private:
  using Clock = std::chrono::steady_clock;

  // What is left of a worker's share: first index << 32 | end.
  struct alignas(64) Share {
    std::atomic<std::uint64_t> left{0};
  };

  void deal(std::uint64_t count);
  void work(int worker);
  void drain(int worker);
  bool enter(std::uint32_t& seen);
  void leave();
  void join(Clock::time_point start);
  void judge(Clock::duration lost, Clock::time_point start, Clock::time_point end);

  std::vector<std::thread> workers_;
  const std::function<void(std::int64_t, int)>* body_ = nullptr;
  std::unique_ptr<Share[]> shares_;
  // The current region: its number, whether workers may enter, how many are inside.
  alignas(64) std::atomic<std::uint32_t> region_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> stop_{false};

  // Known to the caller alone: what waiting for held-up workers has cost, and until when they sit out.
  Clock::duration lost_{}, watched_{}, rest_{};
  Clock::time_point sit_out_until_{};
};

}  // namespace maestrale
