// StreamState: the bounded queue between the engine thread and the reader of one answer.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "engine/service.h"

namespace maestrale::engine {

class StreamState {
 public:
  explicit StreamState(std::int64_t limit) : limit_(limit) {}

  // Engine thread. False where `limit` events wait already; ends always find room.
  bool push(ServiceEvent event);
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // Reader; as in AnswerStream.
  std::optional<ServiceEvent> try_next();
  std::optional<ServiceEvent> next();
  void notify(std::function<void()> ready);
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  // Nobody reads any more.
  void abandon();

 private:
  std::optional<ServiceEvent> take();
  void call();

  const std::int64_t limit_;
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<ServiceEvent> events_;
  bool over_ = false;   // RequestEnd has been taken
  bool armed_ = false;  // the reader found nothing and is to be told
  bool abandoned_ = false;
  std::recursive_mutex calling_;  // held while `ready_` runs
  std::function<void()> ready_;
};

// What submit() gives out: dropping it cancels.
std::shared_ptr<AnswerStream> make_answer_stream(std::shared_ptr<StreamState> state);

}  // namespace maestrale::engine
