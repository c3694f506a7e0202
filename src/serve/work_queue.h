// A few threads for what may take longer than the network's thread should wait: parsing, templates, tokens.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace maestrale::serve {

class WorkQueue {
 public:
  explicit WorkQueue(int threads, std::size_t most = 1024) : most_(most) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }
  ~WorkQueue() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // False where too much is waiting already.
  bool push(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      if (work_.size() >= most_) return false;
      work_.push_back(std::move(work));
    }
    changed_.notify_one();
    return true;
  }

 private:
  void run() {
    for (;;) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || !work_.empty(); });
        if (work_.empty()) return;
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }

  std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace maestrale::serve
