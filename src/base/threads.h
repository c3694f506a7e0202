// A pool of workers for parallel regions. Within a step workers spin for the next region; between steps they
// sleep. The caller is worker 0. Work is handed out in chunks, so a worker that the system holds up costs one
// chunk, and the results never depend on who did what.
#pragma once

#include <atomic>
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
  void work(int worker);
  void drain(int worker);

  std::vector<std::thread> workers_;
  const std::function<void(std::int64_t, int)>* body_ = nullptr;
  std::int64_t count_ = 0;
  alignas(64) std::atomic<std::int64_t> next_{0};
  alignas(64) std::atomic<int> busy_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace maestrale
