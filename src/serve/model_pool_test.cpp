#include "serve/model_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>

namespace maestrale::serve {

namespace {

using std::chrono::milliseconds;

// What all loaded models take together; only the pool's thread loads and ends them.
struct Memory {
  std::atomic<std::uint64_t> taken{0}, most{0};
  void take(std::uint64_t bytes) { most = std::max<std::uint64_t>(most, taken += bytes); }
  void give_back(std::uint64_t bytes) { taken -= bytes; }
};

// The pool knows nothing of a service but that it is there.
struct FakeLoaded {
  std::string name;
  std::uint64_t bytes;
  std::atomic<int>* alive;
  Memory* memory;
  FakeLoaded(std::string of, std::uint64_t size, std::atomic<int>& count, Memory& all)
      : name(std::move(of)), bytes(size), alive(&count), memory(&all) {
    memory->take(bytes);
    ++*alive;
  }
  ~FakeLoaded() {
    memory->give_back(bytes);
    --*alive;
  }
};
std::shared_ptr<ModelService> fake_loaded(std::string name, std::uint64_t bytes, std::atomic<int>& alive,
                                          Memory& memory) {
  auto loaded = std::make_shared<FakeLoaded>(std::move(name), bytes, alive, memory);
  return {loaded, reinterpret_cast<ModelService*>(loaded.get())};
}
const std::string& name_of(const ModelService* service) {
  return reinterpret_cast<const FakeLoaded*>(service)->name;
}

// A model of so many bytes, which may be told to fail or to take its time.
struct FakeModel {
  std::string name;
  std::uint64_t bytes = 0;
  Memory& memory;
  std::atomic<bool> missing{false}, broken{false};
  std::atomic<int> opened{0}, loaded{0}, alive{0};
  std::atomic<std::uint64_t> loaded_into{0};
  std::shared_future<void> gate = {};  // loading waits for it

  class Opened final : public OpenedModel {
   public:
    explicit Opened(FakeModel& model) : model_(model) {}
    Result<std::uint64_t> plan(std::uint64_t most) override {
      if (model_.bytes <= most) return model_.bytes;
      return Error{.kind = ErrorKind::kResource,
                   .what = "the model does not fit in memory",
                   .expected = std::to_string(most),
                   .found = std::to_string(model_.bytes)};
    }
    Result<std::shared_ptr<ModelService>> load(std::uint64_t bytes) override {
      if (model_.gate.valid()) model_.gate.wait();
      if (model_.broken) return Error{.kind = ErrorKind::kIo, .what = "a tensor is cut short"};
      ++model_.loaded;
      model_.loaded_into = bytes;
      return fake_loaded(model_.name, model_.bytes, model_.alive, model_.memory);
    }

   private:
    FakeModel& model_;
  };
  OpenModel open() {
    return [this]() -> Result<std::unique_ptr<OpenedModel>> {
      ++opened;
      if (missing) return Error{.kind = ErrorKind::kNotFound, .what = "no such file", .where = "/m/" + name};
      return std::unique_ptr<OpenedModel>(std::make_unique<Opened>(*this));
    };
  }
};

class ModelPoolTest : public testing::Test {
 protected:
  void make(PoolOptions options) {
    pool_ = std::make_unique<ModelPool>(std::move(options));
    for (FakeModel* model : {&a_, &b_, &c_}) pool_->add(model->name, model->open());
  }
  // Asks as a request does.
  std::future<Result<Lease>> ask(std::size_t slot, std::optional<double> keep_s = {},
                                 std::uint64_t* ticket_out = nullptr) {
    auto promise = std::make_shared<std::promise<Result<Lease>>>();
    auto future = promise->get_future();
    if (Lease lease = pool_->lease(slot, keep_s)) {
      promise->set_value(std::move(lease));
      return future;
    }
    const std::uint64_t ticket = pool_->new_ticket();
    if (ticket_out != nullptr) *ticket_out = ticket;
    const Status status = pool_->wait(
        slot, ticket, keep_s, [promise](Result<Lease> lease) { promise->set_value(std::move(lease)); });
    if (!status.ok()) promise->set_value(status.error());
    return future;
  }
  // A lease, or a failed test.
  Lease lease(std::size_t slot, std::optional<double> keep_s = {}) {
    auto future = ask(slot, keep_s);
    if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      ADD_FAILURE() << "nothing came";
      return nullptr;
    }
    auto result = future.get();
    EXPECT_TRUE(result.ok()) << result.error().render();
    return result.ok() ? std::move(result).value() : nullptr;
  }
  template <class Test>
  static void await(Test test) {
    for (int i = 0; i < 2000 && !test(); ++i) std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(test());
  }
  static bool pending(const std::future<Result<Lease>>& future) {
    return future.wait_for(milliseconds(50)) == std::future_status::timeout;
  }

  Memory memory_;
  FakeModel a_{.name = "a", .bytes = 60, .memory = memory_}, b_{.name = "b", .bytes = 60, .memory = memory_},
      c_{.name = "c", .bytes = 30, .memory = memory_};
  std::unique_ptr<ModelPool> pool_;
};

TEST_F(ModelPoolTest, LoadsWhenAskedAndOnceForAll) {
  std::promise<void> gate;
  a_.gate = gate.get_future();
  make({.memory = 100});
  EXPECT_EQ(pool_->lease(0), nullptr);
  EXPECT_EQ(a_.opened, 0);
  auto first = ask(0), second = ask(0);
  EXPECT_TRUE(pending(first));
  EXPECT_EQ(pool_->stats(0).waiting, 2);
  EXPECT_FALSE(pool_->stats(0).loaded);
  gate.set_value();
  const auto one = first.get(), two = second.get();
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(name_of(one->get()), "a");
  EXPECT_EQ(one->get(), two->get());
  EXPECT_EQ(a_.loaded, 1);
  EXPECT_EQ(a_.loaded_into, 60);
  const SlotStats stats = pool_->stats(0);
  EXPECT_TRUE(stats.loaded);
  EXPECT_EQ(stats.bytes, 60);
  EXPECT_EQ(stats.loads, 1);
  EXPECT_DOUBLE_EQ(stats.left_s, 300);
  EXPECT_NE(pool_->lease(0), nullptr);  // at once now
}

TEST_F(ModelPoolTest, OtherModelsAnswerWhileOneIsLoaded) {
  make({.memory = 200});
  ASSERT_NE(lease(1), nullptr);
  std::promise<void> gate;
  a_.gate = gate.get_future();
  auto slow = ask(0);
  EXPECT_TRUE(pending(slow));
  EXPECT_NE(pool_->lease(1), nullptr);
  gate.set_value();
  EXPECT_TRUE(slow.get().ok());
}

TEST_F(ModelPoolTest, UnloadsTheLongestUnusedFirst) {
  make({.memory = 130});
  (void)lease(0);
  (void)lease(1);
  (void)lease(0);  // b is the longest unused now
  (void)lease(2);
  EXPECT_EQ(b_.alive, 0);
  EXPECT_EQ(a_.alive, 1);
  EXPECT_EQ(pool_->stats(1).unloads, 1);
  (void)lease(1);  // 60 beside 60 and 30: the one unused longest goes, which is enough
  EXPECT_EQ(a_.alive, 0);
  EXPECT_EQ(c_.alive, 1);
  EXPECT_EQ(b_.loaded, 2);
}

TEST_F(ModelPoolTest, NeverUnloadsWhatIsInUse) {
  make({.memory = 100});
  Lease held = lease(0);
  auto waits = ask(1);
  EXPECT_TRUE(pending(waits));
  EXPECT_EQ(a_.alive, 1);
  // Whoever comes for a now takes his turn behind b, which would else wait for ever.
  auto behind = ask(0);
  EXPECT_TRUE(pending(behind));
  // The small one waits behind both.
  auto small = ask(2);
  EXPECT_TRUE(pending(small));
  EXPECT_EQ(name_of(held.get()), "a");
  held.reset();
  auto b = waits.get();
  ASSERT_TRUE(b.ok());
  EXPECT_EQ(a_.loaded, 1);
  EXPECT_TRUE(pending(behind));
  b = Error{};  // gives the lease back
  EXPECT_TRUE(behind.get().ok());
  EXPECT_TRUE(small.get().ok());
  EXPECT_EQ(a_.loaded, 2);
}

TEST_F(ModelPoolTest, WhoLeavesIsNotWaitedFor) {
  make({.memory = 100});
  Lease held = lease(0);
  std::uint64_t ticket = 0;
  auto waits = ask(1, {}, &ticket);
  EXPECT_TRUE(pending(waits));
  auto behind = ask(0);
  EXPECT_TRUE(pending(behind));
  pool_->cancel(ticket);
  const auto cancelled = waits.get();
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().kind, ErrorKind::kCancelled);
  EXPECT_TRUE(behind.get().ok());  // a takes requests again
  EXPECT_EQ(b_.loaded, 0);
  EXPECT_EQ(a_.loaded, 1);
  pool_->cancel(ticket);  // nobody any more
}

TEST_F(ModelPoolTest, SaysWhatCannotFit) {
  make({.memory = 50});
  const auto refused = ask(0).get();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kResource);
  EXPECT_EQ(refused.error().what, "the model 'a' cannot be loaded: the model does not fit in memory");
  EXPECT_EQ(refused.error().expected, "50");
  EXPECT_EQ(refused.error().found, "60");
  EXPECT_EQ(pool_->stats(0).failures, 1);
  EXPECT_NE(lease(2), nullptr);  // the others are served
}

TEST_F(ModelPoolTest, AFileThatIsGoneOrBrokenFailsItsRequestsAlone) {
  make({.memory = 200});
  a_.missing = true;
  b_.broken = true;
  EXPECT_EQ(ask(0).get().error().kind, ErrorKind::kNotFound);
  const auto broken = ask(1).get();
  EXPECT_EQ(broken.error().what, "the model 'b' cannot be loaded: a tensor is cut short");
  EXPECT_EQ(broken.error().where, "model");  // paths stay here
  EXPECT_NE(lease(2), nullptr);
  a_.missing = false;  // it comes back
  EXPECT_NE(lease(0), nullptr);
  EXPECT_EQ(pool_->stats(0).failures, 1);
}

TEST_F(ModelPoolTest, UnusedModelsGoAfterAWhile) {
  make({.memory = 200, .keep_s = 0.05});
  (void)lease(0);
  await([&] { return a_.alive == 0; });
  (void)lease(0, kForever);
  EXPECT_EQ(pool_->stats(0).left_s, kForever);
  (void)lease(1, 0.0);
  await([&] { return b_.alive == 0; });
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(a_.alive, 1);
  Lease held = lease(0, 0.0);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(a_.alive, 1);  // in use
  held.reset();
  await([&] { return a_.alive == 0; });
}

TEST_F(ModelPoolTest, UnloadsWhenTold) {
  make({.memory = 200});
  Lease held = lease(0);
  pool_->unload(0);
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(a_.alive, 1);
  held.reset();
  await([&] { return a_.alive == 0; });
  EXPECT_FALSE(pool_->stats(0).loaded);
  pool_->unload(1);  // is not there
}

TEST_F(ModelPoolTest, TheQueueIsBounded) {
  std::promise<void> gate;
  a_.gate = gate.get_future();
  make({.memory = 100, .queue = 2});
  auto first = ask(0), second = ask(0);
  const auto third = ask(0).get();
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().kind, ErrorKind::kResource);
  EXPECT_EQ(third.error().expected, "at most 2 waiting requests");
  gate.set_value();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
}

// Without a budget free memory is asked each time.
TEST_F(ModelPoolTest, FreeMemoryDecides) {
  std::atomic<std::uint64_t> others{0};
  PoolOptions options;
  options.free_memory = [this, &others] {
    return 100 - std::min<std::uint64_t>(memory_.taken + others, 100);
  };
  make(options);
  (void)lease(0);
  (void)lease(1);  // 90 may be taken: a has to go
  EXPECT_EQ(a_.alive, 0);
  others = 70;  // … and now there is no room even when all have gone
  const auto refused = ask(0).get();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kResource);
  others = 0;
  EXPECT_NE(lease(0), nullptr);
}

TEST_F(ModelPoolTest, StopsWithEverybodyAnswered) {
  std::promise<void> gate;
  a_.gate = gate.get_future();
  make({.memory = 100});
  auto loading = ask(0), behind = ask(1);
  EXPECT_TRUE(pending(loading));
  auto stopped = std::async(std::launch::async, [this] { pool_->stop(0.01); });
  await([&] { return !pending(ask(2)); });  // nobody may wait any more
  EXPECT_EQ(ask(2).get().error().kind, ErrorKind::kCancelled);
  gate.set_value();
  stopped.get();
  (void)loading.get();  // its model came, or it did not
  EXPECT_EQ(behind.get().error().kind, ErrorKind::kCancelled);
  const Lease held = pool_->lease(0);
  const bool loaded = held != nullptr;
  EXPECT_EQ(pool_->loaded().size(), loaded ? 1 : 0);
  pool_.reset();
  EXPECT_EQ(a_.alive, loaded ? 1 : 0);  // as long as the lease
}

TEST_F(ModelPoolTest, StopWaitsForThoseWhoWait) {
  make({.memory = 100});
  auto first = ask(0), second = ask(2);
  pool_->stop(20);
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
}

TEST_F(ModelPoolTest, AModelThatStaysIsNeverUnloaded) {
  std::atomic<int> alive{0};
  pool_ = std::make_unique<ModelPool>(PoolOptions{.memory = 100});
  pool_->add("stays", fake_loaded("stays", 60, alive, memory_));
  ASSERT_NE(pool_->lease(0, 0.0), nullptr);
  pool_->unload(0);
  EXPECT_TRUE(pool_->stats(0).stays);
  EXPECT_TRUE(pool_->visit(0, [](ModelService& service) { EXPECT_EQ(name_of(&service), "stays"); }));
  EXPECT_EQ(alive, 1);
  pool_.reset();
  EXPECT_EQ(alive, 0);
}

// Many at once, more models than memory: everybody is answered, and never is too much loaded.
TEST_F(ModelPoolTest, ManyAtOnce) {
  make({.memory = 100, .keep_s = 0.001});
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 60; ++i) {
        std::uint64_t ticket = 0;
        auto future = ask(static_cast<std::size_t>((i * 7 + t) % 3), {}, &ticket);
        if (i % 11 == 0) pool_->cancel(ticket);
        const auto got = future.get();
        answered += got.ok() || got.error().kind == ErrorKind::kCancelled ? 1 : 0;
        (void)pool_->stats(0);
        (void)pool_->visit(1, [](ModelService& service) { EXPECT_EQ(name_of(&service), "b"); });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 240);
  EXPECT_LE(memory_.most, 100);
  pool_.reset();
  EXPECT_EQ(memory_.taken, 0);
}

}  // namespace
}  // namespace maestrale::serve
