#include "engine/service.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <utility>

#include "engine/inbox.h"
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
                                                              {"stream_bytes", options.stream_bytes},
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

using RequestInbox = Inbox<std::unique_ptr<Request>>;

class EngineService : public Service {
 public:
  EngineService(std::unique_ptr<Engine> engine, const ServiceOptions& options,
                std::unique_ptr<PrefixStore> store)
      : engine_(std::move(engine)),
        options_(options),
        store_(std::move(store)),
        worker_(*engine_, options_, store_.get()),
        inbox_(std::make_shared<RequestInbox>(options.queue, worker_.stats())),
        thread_([this] { work(); }) {}

  ~EngineService() override {
    inbox_->stop();
    thread_.join();
  }

  Result<std::shared_ptr<AnswerStream>> submit(ServiceRequest asked) override {
    TRY(check_service_request(asked));
    TRY(check_request(asked.generate, engine_->info().vocabulary, engine_->context()));
    TRY(inbox_->check_room());  // before the work of making it
    auto request = TRY(make_request(std::move(asked), *engine_, options_));
    request->stream->on_change([inbox = std::weak_ptr(inbox_)] {
      if (const auto open = inbox.lock()) open->wake();
    });
    auto stream = make_answer_stream(request->stream);
    TRY(inbox_->put(std::move(request)));
    return stream;
  }

  const Engine& engine() const override { return *engine_; }
  ServiceStats stats() const override { return inbox_->stats(); }
  void drain(double seconds) override { inbox_->drain(seconds); }

 private:
  // False where the thread is to end.
  bool take_requests() {
    const ServiceStats stats = worker_.stats();
    const auto work = worker_.idle()                ? RequestInbox::Work::kNone
                      : worker_.waits_for_readers() ? RequestInbox::Work::kWaits
                                                    : RequestInbox::Work::kMore;
    auto taken = inbox_->take(stats, stats.waiting, work);
    for (auto& request : taken.items) {
      request->number = next_number_++;
      worker_.add(std::move(request));
    }
    if (taken.cut) worker_.end_all(stopped());
    return !taken.leave;
  }

  void work() {
    while (take_requests()) worker_.step();
  }

  std::unique_ptr<Engine> engine_;
  ServiceOptions options_;
  std::unique_ptr<PrefixStore> store_;
  // The thread's own.
  Worker worker_;
  std::uint64_t next_number_ = 0;

  const std::shared_ptr<RequestInbox> inbox_;  // streams may outlive the service
  std::thread thread_;
};

// Null where none was asked for.
Result<std::unique_ptr<PrefixStore>> open_store(Engine& engine, const ServiceOptions& options) {
  if (!options.store) return std::unique_ptr<PrefixStore>();
  const ops::KvShape& shape = engine.kv().shape();
  if (!options.prefix_cache || shape.state_bytes() > 0) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = options.prefix_cache ? "a recurrent model has no prefixes that could be stored"
                                              : "a store of prefixes needs the prefix cache",
                 .where = "prefix_store",
                 .found = engine.info().architecture};
  }
  TRY(PrefixStore::make_folder(options.store->folder));
  return PrefixStore::open(*options.store, TRY(engine.identity(options.store->folder)), shape.page_bytes(),
                           PrefixStore::pages_in_memory(engine.batch_rows()) - 1);
}

}  // namespace

Result<std::unique_ptr<Service>> Service::start(std::unique_ptr<Engine> engine,
                                                const ServiceOptions& options) {
  TRY(check_options(options));
  ServiceOptions limited = options;
  limited.running =
      std::min({options.running, std::int64_t{engine->memory().sequences}, engine->batch_rows()});
  limited.chunk = std::min(options.chunk, engine->batch_rows());
  auto store = TRY(open_store(*engine, limited));
  return std::unique_ptr<Service>(
      std::make_unique<EngineService>(std::move(engine), limited, std::move(store)));
}

}  // namespace maestrale::engine
