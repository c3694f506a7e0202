// StreamState: the bounded queue between the engine thread and the reader of one answer. A full one is a sign
// to make no more until the reader has taken half of it.
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
  // `limit`: bytes of events that wait when it counts as full.
  explicit StreamState(std::int64_t limit) : limit_(limit) {}

  // Engine thread.
  void push(ServiceEvent event);
  bool is_full() const { return full_; }
  // Called on other threads when it is full no more, or when it is full and cancelled.
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }
  bool cancelled() const { return cancelled_; }

  // Reader; as in AnswerStream.
  std::optional<ServiceEvent> try_next();
  std::optional<ServiceEvent> next();
  void notify(std::function<void()> ready);
  void cancel();
  // Nobody reads any more.
  void abandon();

 private:
  std::optional<ServiceEvent> take(std::unique_lock<std::mutex>& lock);
  void call();

  const std::int64_t limit_;
  std::function<void()> changed_;
  std::atomic<bool> cancelled_{false}, full_{false};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<ServiceEvent> events_;
  std::int64_t bytes_ = 0;  // of events_
  bool over_ = false;       // RequestEnd has been taken
  bool armed_ = false;      // the reader found nothing and is to be told
  bool abandoned_ = false;
  std::recursive_mutex calling_;  // held while `ready_` runs
  std::function<void()> ready_;
};

// What submit() gives out: dropping it cancels.
std::shared_ptr<AnswerStream> make_answer_stream(std::shared_ptr<StreamState> state);

}  // namespace maestrale::engine
