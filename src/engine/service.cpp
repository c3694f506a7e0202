#include "engine/service.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "engine/worker.h"

namespace maestrale::engine {
namespace {

Error out_of_range(std::string_view where, std::string expected, std::string found) {
  return {.kind = ErrorKind::kUsage,
          .what = "value out of range",
          .where = std::string(where),
          .expected = std::move(expected),
          .found = std::move(found)};
}

Status check_options(const ServiceOptions& options) {
  const std::pair<std::string_view, std::int64_t> counts[] = {{"queue", options.queue},
                                                              {"stream_events", options.stream_events},
                                                              {"running", options.running},
                                                              {"chunk", options.chunk}};
  for (const auto& [name, value] : counts) {
    if (value < 1) return out_of_range(name, "1 and up", std::to_string(value));
  }
  if (options.drafts < 0) return out_of_range("drafts", "0 and up", std::to_string(options.drafts));
  if (options.step_s > 0 && std::isfinite(options.step_s)) return {};
  return out_of_range("step_s", "seconds above 0", std::to_string(options.step_s));
}

Status check_service_request(const ServiceRequest& request) {
  if (request.choices < 1 || request.choices > kMaxChoices) {
    return out_of_range("choices", "1 … " + std::to_string(kMaxChoices), std::to_string(request.choices));
  }
  if (request.weight >= 0.001 && request.weight <= 1000) return {};
  return out_of_range("weight", "0.001 … 1000", std::to_string(request.weight));
}

Error stopped() { return {.kind = ErrorKind::kCancelled, .what = "the service was stopped"}; }

class EngineService : public Service {
 public:
  EngineService(std::unique_ptr<Engine> engine, const ServiceOptions& options)
      : engine_(std::move(engine)), options_(options), worker_(*engine_, options_) {
    stats_ = worker_.stats();
    thread_ = std::thread([this] { work(); });
  }

  ~EngineService() override {
    {
      const std::lock_guard lock(mutex_);
      closed_ = cut_ = leave_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  Result<std::shared_ptr<AnswerStream>> submit(ServiceRequest asked) override {
    TRY(check_service_request(asked));
    TRY(check_request(asked.generate, engine_->info().vocabulary, engine_->context()));
    TRY(check_room());
    auto request = TRY(make_request(std::move(asked), *engine_, options_));
    auto stream = make_answer_stream(request->stream);
    {
      const std::lock_guard lock(mutex_);
      TRY(room());
      request->number = next_number_++;
      inbox_.push_back(std::move(request));
    }
    wake_.notify_all();
    return stream;
  }

  const Engine& engine() const override { return *engine_; }

  ServiceStats stats() const override {
    const std::lock_guard lock(mutex_);
    ServiceStats stats = stats_;
    stats.waiting += std::ssize(inbox_);
    stats.since_step_s = std::chrono::duration<double>(Clock::now() - step_end_).count();
    return stats;
  }

  void drain(double seconds) override {
    std::unique_lock lock(mutex_);
    closed_ = true;
    const auto over = [&] { return idle_ && inbox_.empty(); };
    const std::chrono::duration<double> most(std::clamp(seconds, 0.0, 1e6));
    if (rested_.wait_for(lock, most, over)) return;
    cut_ = true;
    wake_.notify_all();
    rested_.wait(lock, over);
  }

 private:
  Status room() const {
    if (closed_) {
      return Error{.kind = ErrorKind::kResource, .what = "the service takes no new requests: it is stopping"};
    }
    const std::int64_t waiting = stats_.waiting + std::ssize(inbox_);
    if (waiting < options_.queue) return {};
    return Error{.kind = ErrorKind::kResource,
                 .what = "the queue is full",
                 .expected = "at most " + std::to_string(options_.queue) + " waiting requests",
                 .found = std::to_string(waiting),
                 .hint = "try again later"};
  }

  Status check_room() const {
    const std::lock_guard lock(mutex_);
    return room();
  }

  // False where the thread is to end.
  bool take_requests() {
    std::unique_lock lock(mutex_);
    stats_ = worker_.stats();
    step_end_ = Clock::now();
    idle_ = worker_.idle();
    if (idle_ && inbox_.empty()) rested_.notify_all();
    wake_.wait(lock, [&] { return !idle_ || !inbox_.empty() || leave_; });
    std::vector<std::unique_ptr<Request>> arrived = std::exchange(inbox_, {});
    stats_.waiting += std::ssize(arrived);
    idle_ = worker_.idle() && arrived.empty();
    const bool cut = cut_, leave = leave_;
    lock.unlock();
    for (auto& request : arrived) worker_.add(std::move(request));
    if (cut) worker_.end_all(stopped());
    return !leave;
  }

  void work() {
    while (take_requests()) worker_.step();
  }

  std::unique_ptr<Engine> engine_;
  ServiceOptions options_;
  Worker worker_;  // the thread's own

  mutable std::mutex mutex_;
  std::condition_variable wake_;    // the thread has something to do
  std::condition_variable rested_;  // it has nothing left
  std::vector<std::unique_ptr<Request>> inbox_;
  ServiceStats stats_;
  Clock::time_point step_end_ = Clock::now();
  std::uint64_t next_number_ = 0;
  bool idle_ = true;
  bool closed_ = false;  // no new requests
  bool cut_ = false;     // what is there ends now
  bool leave_ = false;

  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Service>> Service::start(std::unique_ptr<Engine> engine,
                                                const ServiceOptions& options) {
  TRY(check_options(options));
  ServiceOptions limited = options;
  limited.running =
      std::min({options.running, std::int64_t{engine->memory().sequences}, engine->batch_rows()});
  limited.chunk = std::min(options.chunk, engine->batch_rows());
  return std::unique_ptr<Service>(std::make_unique<EngineService>(std::move(engine), limited));
}

}  // namespace maestrale::engine
