// The service as others use it: threads, queues, ends. And the promise: whatever happens around it, a request
// has the answer that it has alone, bit for bit.
#include "engine/service.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <ostream>
#include <sstream>
#include <thread>

#include "engine/service_test_support.h"

namespace maestrale::engine {
namespace {

std::unique_ptr<Service> service_of(const ServiceOptions& options = {}, std::int64_t kv_tokens = 16 * 256,
                                    int threads = 1) {
  return std::move(Service::start(byte_engine(threads, kv_tokens), options)).value();
}

ServiceRequest long_request(std::uint64_t seed = 1) {
  ServiceRequest request{.generate = request_of(some_tokens(10, 256, seed), 200)};
  request.generate.ignore_end = true;
  return request;
}

std::shared_ptr<AnswerStream> submit(Service& service, ServiceRequest request) {
  auto stream = service.submit(std::move(request));
  EXPECT_TRUE(stream.ok()) << stream.error().render();
  return stream.ok() ? std::move(stream).value() : nullptr;
}

TEST(Service, AnswersAndCounts) {
  const auto service = service_of();
  const GenerateRequest asked = request_of(some_tokens(10, 256), 6);
  const auto stream = submit(*service, {.generate = asked});
  const SeenAnswer seen = read_all(*stream);
  const auto alone = byte_engine(1, 256);
  expect_same(seen.choices[0], run_alone(*alone, asked), "alone");
  ASSERT_TRUE(seen.end.has_value());
  EXPECT_FALSE(seen.end->error.has_value());
  EXPECT_EQ(seen.end->usage.prompt_tokens, 10);
  EXPECT_EQ(seen.end->usage.completion_tokens, std::ssize(seen.choices[0].tokens));
  EXPECT_GE(seen.end->usage.total_s, seen.end->usage.first_token_s);
  EXPECT_GT(seen.end->usage.first_token_s, 0);
  EXPECT_FALSE(stream->next().has_value());
  service->drain(10);
  const ServiceStats stats = service->stats();
  EXPECT_EQ(stats.requests, 1u);
  EXPECT_EQ(stats.running + stats.waiting, 0);
  EXPECT_EQ(stats.pages_used, 0);
}

TEST(Service, RefusesByName) {
  const auto service = service_of();
  const auto refusal = [&](const std::function<void(ServiceRequest&)>& change) {
    ServiceRequest request = long_request();
    change(request);
    const auto stream = service->submit(request);
    EXPECT_FALSE(stream.ok());
    return stream.ok() ? Error{} : stream.error();
  };
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.choices = 0; }).where, "choices");
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.choices = 1000; }).where, "choices");
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.weight = 0; }).where, "weight");
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.weight = NAN; }).where, "weight");
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.generate.prompt.clear(); }).kind, ErrorKind::kUsage);
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.generate.prompt = {400}; }).where, "prompt");
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.generate.prompt = some_tokens(257, 256); }).kind,
            ErrorKind::kResource);
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.generate.stop_strings = {""}; }).kind, ErrorKind::kUsage);
  EXPECT_EQ(refusal([](ServiceRequest& r) { r.generate.sampling.top_p = 2; }).kind, ErrorKind::kUsage);
  for (const ServiceOptions& options : {ServiceOptions{.queue = 0}, ServiceOptions{.running = 0},
                                        ServiceOptions{.chunk = -1}, ServiceOptions{.step_s = 0}}) {
    EXPECT_EQ(Service::start(byte_engine(1, 256), options).error().kind, ErrorKind::kUsage);
  }
}

TEST(Service, AFullQueueRefuses) {
  const auto service = service_of({.queue = 3, .running = 1});
  std::vector<std::shared_ptr<AnswerStream>> streams;
  std::optional<Error> refused;
  for (int i = 0; i < 30 && !refused; ++i) {
    auto stream = service->submit(long_request());
    if (stream.ok()) {
      streams.push_back(std::move(stream).value());
    } else {
      refused = stream.error();
    }
  }
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->kind, ErrorKind::kResource);
  EXPECT_NE(refused->render().find("queue"), std::string::npos);
  streams.clear();  // dropped streams are cancelled
  service->drain(10);
  EXPECT_EQ(service->stats().requests, service->stats().cancelled);
}

TEST(Service, DrainLetsRunningOnesEndAndCutsTheRest) {
  const auto service = service_of({.stream_bytes = 1 << 20});
  const auto stream = submit(*service, long_request());
  service->drain(60);
  EXPECT_EQ(read_all(*stream).choices[0].tokens.size(), 200u);
  EXPECT_EQ(service->submit(long_request()).error().kind, ErrorKind::kResource);

  const auto other = service_of({.running = 1});
  std::vector<std::shared_ptr<AnswerStream>> streams;
  for (int i = 0; i < 100; ++i) streams.push_back(submit(*other, long_request()));
  other->drain(0);  // a hundred one after the other take longer than this loop
  int cut = 0;
  for (const auto& one : streams) {
    const SeenAnswer seen = read_all(*one);
    ASSERT_TRUE(seen.end.has_value());
    cut += seen.end->error.has_value();
  }
  EXPECT_GT(cut, 0);
}

TEST(Service, StreamsOutliveTheService) {
  auto service = service_of({.running = 1});
  const auto one = submit(*service, long_request()), two = submit(*service, long_request());
  service.reset();
  for (const auto& stream : {one, two}) {
    const SeenAnswer seen = read_all(*stream);
    ASSERT_TRUE(seen.end.has_value());
    stream->cancel();
  }
}

// However slowly each reads, and whether all others do not read at all.
TEST(Service, AnswersPauseUntilTheyAreRead) {
  const auto service = service_of({.stream_bytes = 1000, .running = 2});
  const auto idle = submit(*service, long_request(7)), stuck = submit(*service, long_request(8));
  const auto slow = submit(*service, long_request());
  SeenAnswer seen;
  for (int i = 0; !seen.end; ++i) {
    if (i % 8 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (auto event = slow->next()) seen.add(*event);
  }
  EXPECT_EQ(seen.choices[0].tokens.size(), 200u);
  EXPECT_GT(service->stats().paused, 0u);
  stuck->cancel();
  EXPECT_EQ(read_all(*stuck).choices[0].reason, FinishReason::kCancelled);
  service->drain(0.05);
  EXPECT_EQ(read_all(*idle).choices[0].reason, FinishReason::kCancelled);
}

TEST(Service, ReadersAreTold) {
  const auto service = service_of();
  const auto stream = submit(*service, long_request());
  std::mutex mutex;
  std::condition_variable changed;
  int told = 0;
  stream->notify([&] {
    const std::lock_guard lock(mutex);
    ++told;
    changed.notify_all();
  });
  SeenAnswer seen;
  int waits = 0;
  while (!seen.end) {
    {
      std::unique_lock lock(mutex);
      ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(60), [&] { return told > waits; }));
      waits = told;
    }
    read_ready(*stream, seen);
  }
  EXPECT_EQ(seen.choices[0].tokens.size(), 200u);
  stream->notify({});
  std::atomic<int> late{0};
  const auto quick = submit(*service, {.generate = request_of(some_tokens(5, 256), 1)});
  service->drain(60);
  quick->notify([&] { ++late; });  // events are there already
  EXPECT_EQ(late, 1);
}

// Requests of many kinds, many of which begin alike, and their answers alone.
class Truths {
 public:
  static constexpr int kKinds = 24;

  Truths() {
    const auto alone = byte_engine(1, 256);
    for (int kind = 0; kind < kKinds; ++kind) {
      for (int choice = 0; choice < choices(kind); ++choice)
        truths_[{kind, choice}] = run_alone(*alone, request(kind), choice);
    }
  }
  static int choices(int kind) { return kind % 8 == 3 ? 3 : 1; }
  static GenerateRequest request(int kind) {
    const auto seed = static_cast<std::uint64_t>(kind);
    std::vector<text::TokenId> prompt = some_tokens(kind % 3 == 0   ? 130
                                                    : kind % 3 == 1 ? 64
                                                                    : 3,
                                                    256, seed % 2);
    for (const text::TokenId token : some_tokens(1 + kind % 5 * 20, 256, 100 + seed)) prompt.push_back(token);
    GenerateRequest request = request_of(std::move(prompt), 5 + kind % 7 * 12, kind % 4 == 0 ? 0 : 1);
    request.sampling.seed = seed;
    request.sampling.logprobs = kind % 3;
    if (kind % 5 == 1) request.sampling.top_p = 0.9;
    if (kind % 5 == 2) request.sampling.repetition_penalty = 1.3;
    if (kind % 6 == 5) request.stop_strings = {"e", "xyz"};
    request.ignore_end = kind % 2 == 0;
    return request;
  }
  void check(int kind, const SeenAnswer& seen, bool cancelled, const std::string& where) const {
    ASSERT_TRUE(seen.end.has_value()) << where;
    for (int choice = 0; choice < std::ssize(seen.choices); ++choice) {
      const SeenChoice& found = seen.choices[static_cast<std::size_t>(choice)];
      const SeenChoice& truth = truths_.at({kind, choice});
      if (found.reason != FinishReason::kCancelled) {
        expect_same(found, truth, where);
        continue;
      }
      EXPECT_TRUE(cancelled) << where;
      ASSERT_LE(found.tokens.size(), truth.tokens.size()) << where;
      EXPECT_TRUE(std::equal(found.tokens.begin(), found.tokens.end(), truth.tokens.begin())) << where;
    }
  }

 private:
  std::map<std::pair<int, int>, SeenChoice> truths_;
};

// One of several clients at once.
void be_client(Service& service, const Truths& truths, std::uint64_t client, int count,
               const std::string& where) {
  for (int i = 0; i < count; ++i) {
    const auto draw = [&](std::uint64_t what) {
      return uniform(client, what, static_cast<std::uint64_t>(i));
    };
    const int kind = static_cast<int>(draw(1) * Truths::kKinds);
    const bool cancels = draw(2) < 0.25;
    const auto stream = submit(service, {.generate = Truths::request(kind),
                                         .choices = Truths::choices(kind),
                                         .tenant = draw(3) < 0.5 ? "a" : "b",
                                         .weight = 1 + draw(4)});
    if (cancels) {
      std::this_thread::sleep_for(std::chrono::microseconds(static_cast<int>(draw(5) * 20000)));
      stream->cancel();
    }
    truths.check(kind, read_all(*stream), cancels, where + ", kind " + std::to_string(kind));
  }
}

struct Surroundings {
  int threads = 1;
  std::int64_t pages = 5;  // of the pool; one context takes 4
  bool cache = true;
  std::int64_t running = 8, chunk = 100;
  double step_s = 0.25;
  bool always_draft = false;
  int requests = 36;
  bool store = false;  // pages also come from a folder
  std::int64_t stream_bytes = 16 << 10;
};

std::ostream& operator<<(std::ostream& out, const Surroundings& around) {
  return out << around.threads << " threads, " << around.pages << " pages, cache " << around.cache << ", "
             << around.running << " running, chunks of " << around.chunk;
}

std::filesystem::path store_folder() {
  return std::filesystem::path(testing::TempDir()) / "maestrale_service_test";
}

std::optional<PrefixStoreOptions> store_of(const Surroundings& around) {
  if (!around.store) return std::nullopt;
  return PrefixStoreOptions{.folder = store_folder()};
}

ServiceStats run_clients(const Truths& truths, const Surroundings& around, std::uint64_t seed) {
  constexpr int kClients = 6;
  std::ostringstream where;
  where << around;
  const auto service = service_of({.stream_bytes = around.stream_bytes,
                                   .running = around.running,
                                   .chunk = around.chunk,
                                   .step_s = around.step_s,
                                   .prefix_cache = around.cache,
                                   .store = store_of(around),
                                   .always_draft = around.always_draft},
                                  around.pages * 64, around.threads);
  std::vector<std::thread> clients;
  for (std::uint64_t client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      be_client(*service, truths, seed * kClients + client, around.requests / kClients, where.str());
    });
  }
  for (std::thread& client : clients) client.join();
  service->drain(60);
  const ServiceStats stats = service->stats();
  EXPECT_EQ(stats.requests, static_cast<std::uint64_t>(around.requests)) << where.str();
  EXPECT_EQ(stats.failed, 0u) << where.str();
  EXPECT_EQ(stats.pages_used, 0) << where.str();
  return stats;
}

TEST(Service, TheSameRequestHasTheSameAnswerWhateverHappensAroundIt) {
  std::filesystem::remove_all(store_folder());
  const Truths truths;
  // More threads than the machine has cores are slow: fewer requests say enough.
  const Surroundings all[] = {{.chunk = 17},
                              {.cache = false, .chunk = 17},
                              {.pages = 12, .chunk = 128},
                              {.pages = 12, .cache = false},
                              {.pages = 9, .running = 3, .chunk = 1, .requests = 24},
                              {.pages = 64, .running = 16, .step_s = 0.0001},
                              {.pages = 64, .cache = false, .running = 16},
                              {.always_draft = true},
                              {.pages = 20, .running = 4, .always_draft = true},
                              {.pages = 5, .running = 1},
                              {.store = true},
                              {.pages = 64, .store = true},
                              {.pages = 7, .chunk = 17, .store = true},
                              {.pages = 20, .stream_bytes = 1000},
                              {.pages = 64, .cache = false, .stream_bytes = 1000},
                              {.pages = 9, .store = true, .stream_bytes = 1000},
                              {.threads = 2, .pages = 8, .requests = 12},
                              {.threads = 3, .pages = 6, .requests = 6},
                              {.threads = 3, .pages = 6, .cache = false, .requests = 6}};
  std::uint64_t preempted = 0, paused = 0, cached = 0, read = 0, seed = 0;
  for (const Surroundings& around : all) {
    const ServiceStats stats = run_clients(truths, around, ++seed);
    preempted += stats.preempted;
    paused += stats.paused;
    cached += stats.cached_tokens;
    read += stats.store_tokens;
  }
  std::filesystem::remove_all(store_folder());
  EXPECT_GT(read, 0u);
  EXPECT_GT(preempted, 0u);
  EXPECT_GT(paused, 0u);
  EXPECT_GT(cached, 0u);
}

}  // namespace
}  // namespace maestrale::engine
