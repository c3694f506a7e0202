// Inbox: how other threads reach the one thread of a service. What arrives waits here, bounded; the thread
// takes it between two steps and says how it stands; whoever stops the service waits here for its end.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/service.h"

namespace maestrale::engine {

template <class Item>
class Inbox {
 public:
  // At most `limit` wait, here and with the thread. `stats`: until the thread says more.
  explicit Inbox(std::int64_t limit, const ServiceStats& stats = {}) : limit_(limit), stats_(stats) {}

  // --- any thread ---

  // kResource where there is no room, or nothing is taken any more.
  Status check_room() const {
    const std::lock_guard lock(mutex_);
    return room();
  }
  Status put(Item item) {
    {
      const std::lock_guard lock(mutex_);
      TRY(room());
      items_.push_back(std::move(item));
    }
    wake_.notify_all();
    return {};
  }
  // As the thread said it last, with what has arrived since.
  ServiceStats stats() const {
    const std::lock_guard lock(mutex_);
    ServiceStats stats = stats_;
    stats.waiting += std::ssize(items_);
    stats.since_step_s = std::chrono::duration<double>(Clock::now() - step_end_).count();
    return stats;
  }
  // Takes nothing new and waits until the thread has nothing left, at most so long; then tells it to cut.
  void drain(double seconds) {
    std::unique_lock lock(mutex_);
    closed_ = true;
    const auto over = [this] { return idle_ && items_.empty(); };
    const std::chrono::duration<double> most(std::clamp(seconds, 0.0, 1e6));
    if (rested_.wait_for(lock, most, over)) return;
    cut_ = true;
    wake_.notify_all();
    rested_.wait(lock, over);
  }
  // Takes nothing new, and tells the thread to cut what there is and to leave.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = cut_ = leave_ = true;
    }
    wake_.notify_all();
  }

  // What the thread waits for may have happened.
  void wake() {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    wake_.notify_all();
  }

  // --- the thread ---

  enum class Work { kMore, kNone, kWaits };  // kWaits: there is some, but nothing to do before wake()

  struct Taken {
    std::vector<Item> items;
    bool cut = false;    // all of it, and what the thread has, ends now
    bool leave = false;  // there is nothing after it
  };
  // Between two steps. Without more work the thread waits here for some. `occupied`: what of the thread's
  // counts against the limit.
  Taken take(const ServiceStats& stats, std::int64_t occupied, Work work) {
    std::unique_lock lock(mutex_);
    say(stats, occupied);
    const bool idle = work == Work::kNone, waits = work == Work::kWaits;
    idle_ = idle;
    if (idle_ && items_.empty()) rested_.notify_all();
    wake_.wait(lock, [&] {
      return work == Work::kMore || !items_.empty() || leave_ || (waits && (cut_ || woken_));
    });
    woken_ = false;
    Taken taken{.items = std::exchange(items_, {}), .cut = cut_, .leave = leave_};
    stats_.waiting += std::ssize(taken.items);
    occupied_ += std::ssize(taken.items);
    idle_ = idle && taken.items.empty();
    step_end_ = Clock::now();
    return taken;
  }
  // How the thread stands, within a step.
  void report(const ServiceStats& stats, std::int64_t occupied) {
    const std::lock_guard lock(mutex_);
    say(stats, occupied);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void say(const ServiceStats& stats, std::int64_t occupied) {
    stats_ = stats;
    occupied_ = occupied;
    step_end_ = Clock::now();
  }
  Status room() const {
    if (closed_)
      return Error{.kind = ErrorKind::kResource, .what = "the service takes no new requests: it is stopping"};
    const std::int64_t waiting = occupied_ + std::ssize(items_);
    if (waiting < limit_) return {};
    return Error{.kind = ErrorKind::kResource,
                 .what = "the queue is full",
                 .expected = "at most " + std::to_string(limit_) + " waiting requests",
                 .found = std::to_string(waiting),
                 .hint = "try again later"};
  }

  const std::int64_t limit_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;    // the thread has something to do
  std::condition_variable rested_;  // it has nothing left
  std::vector<Item> items_;
  std::int64_t occupied_ = 0;
  ServiceStats stats_;
  Clock::time_point step_end_ = Clock::now();
  bool idle_ = true;
  bool closed_ = false;  // no new requests
  bool cut_ = false;     // what is there ends now
  bool woken_ = false;
  bool leave_ = false;
};

}  // namespace maestrale::engine
