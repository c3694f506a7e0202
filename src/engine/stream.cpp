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

}  // namespace

std::shared_ptr<AnswerStream> make_answer_stream(std::shared_ptr<StreamState> state) {
  return std::make_shared<Reader>(std::move(state));
}

bool StreamState::push(ServiceEvent event) {
  {
    const std::lock_guard lock(mutex_);
    if (abandoned_) return true;
    const bool is_token = std::holds_alternative<TokenEvent>(event.what);
    if (is_token && static_cast<std::int64_t>(events_.size()) >= limit_) return false;
    events_.push_back(std::move(event));
    arrived_.notify_all();
    if (!std::exchange(armed_, false)) return true;
  }
  call();
  return true;
}

void StreamState::call() {
  const std::lock_guard lock(calling_);
  const std::function<void()> ready = ready_;  // it may put another in its place
  if (ready) ready();
}

std::optional<ServiceEvent> StreamState::take() {
  if (events_.empty()) return std::nullopt;
  ServiceEvent event = std::move(events_.front());
  events_.pop_front();
  over_ = std::holds_alternative<RequestEnd>(event.what);
  return event;
}

std::optional<ServiceEvent> StreamState::try_next() {
  const std::lock_guard lock(mutex_);
  auto event = take();
  armed_ = !event;
  return event;
}

std::optional<ServiceEvent> StreamState::next() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return over_ || !events_.empty(); });
  return take();
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
}

}  // namespace maestrale::engine
