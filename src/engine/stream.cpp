#include "engine/stream.h"

#include <utility>

namespace maestrale::engine {
namespace {

class Reader : public AnswerStream {
 public:
  explicit Reader(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}
  ~Reader() override { state_->abandon(); }
  std::optional<ServiceEvent> try_next() override { return state_->try_next(); }
  std::optional<ServiceEvent> next() override { return state_->next(); }
  void notify(std::function<void()> ready) override { state_->notify(std::move(ready)); }
  void cancel() override { state_->cancel(); }

 private:
  std::shared_ptr<StreamState> state_;
};

std::int64_t bytes_of(const ServiceEvent& event) {
  auto bytes = static_cast<std::int64_t>(sizeof(event));
  if (const auto* token = std::get_if<TokenEvent>(&event.what)) {
    bytes += std::ssize(token->text);
    bytes += std::ssize(token->top_logprobs) * static_cast<std::int64_t>(sizeof(TokenLogprob));
  }
  return bytes;
}

}  // namespace

std::shared_ptr<AnswerStream> make_answer_stream(std::shared_ptr<StreamState> state) {
  return std::make_shared<Reader>(std::move(state));
}

void StreamState::push(ServiceEvent event) {
  {
    const std::lock_guard lock(mutex_);
    if (abandoned_) return;
    bytes_ += bytes_of(event);
    if (bytes_ >= limit_) full_ = true;
    events_.push_back(std::move(event));
    arrived_.notify_all();
    if (!std::exchange(armed_, false)) return;
  }
  call();
}

void StreamState::call() {
  const std::lock_guard lock(calling_);
  const std::function<void()> ready = ready_;  // it may put another in its place
  if (ready) ready();
}

// Leaves the lock open.
std::optional<ServiceEvent> StreamState::take(std::unique_lock<std::mutex>& lock) {
  armed_ = events_.empty();
  if (armed_) return std::nullopt;
  ServiceEvent event = std::move(events_.front());
  events_.pop_front();
  bytes_ -= bytes_of(event);
  over_ = std::holds_alternative<RequestEnd>(event.what);
  const bool changed = bytes_ <= limit_ / 2 && full_.exchange(false);
  lock.unlock();
  if (changed && changed_) changed_();
  return event;
}

std::optional<ServiceEvent> StreamState::try_next() {
  std::unique_lock lock(mutex_);
  return take(lock);
}

std::optional<ServiceEvent> StreamState::next() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return over_ || !events_.empty(); });
  return take(lock);
}

void StreamState::cancel() {
  cancelled_ = true;
  if (is_full() && changed_) changed_();
}

void StreamState::notify(std::function<void()> ready) {
  const std::lock_guard calling(calling_);
  ready_ = std::move(ready);
  {
    const std::lock_guard lock(mutex_);
    armed_ = events_.empty();
    if (armed_) return;
  }
  call();
}

void StreamState::abandon() {
  notify({});
  cancel();
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  events_.clear();
  bytes_ = 0;
}

}  // namespace maestrale::engine
