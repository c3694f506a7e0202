#include "base/threads.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>

namespace maestrale {
namespace {

TEST(ThreadPool, RunsEveryIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> hits(97);
      pool.run(97, [&](std::int64_t index, int worker) {
        ASSERT_LT(worker, threads);
        hits[static_cast<std::size_t>(index)].fetch_add(1);
      });
      for (const auto& hit : hits) ASSERT_EQ(hit.load(), 1);
    }
  }
}

TEST(ThreadPool, NothingToDoIsFine) {
  ThreadPool pool(3);
  pool.run(0, [](std::int64_t, int) { FAIL(); });
}

// Every worker begins at the start of its own share and goes on in order, then takes the other's from its
// end.
TEST(ThreadPool, AWorkerTakesItsShareInOrder) {
  ThreadPool pool(2);
  for (int round = 0; round < 50; ++round) {
    std::array<std::vector<std::int64_t>, 2> taken;
    std::atomic<bool> entered{false};
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    pool.run(100, [&](std::int64_t index, int worker) {
      if (worker == 1) entered = true;
      while (index == 0 && !entered && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
      taken[static_cast<std::size_t>(worker)].push_back(index);
    });
    ASSERT_EQ(taken[0].at(0), 0);
    for (std::size_t worker = 0; worker < 2; ++worker) {
      const auto own = [worker](std::int64_t index) { return (index >= 50) == (worker == 1); };
      for (std::size_t i = 0; i < taken[worker].size(); ++i) {
        const std::int64_t now = taken[worker][i];
        const std::int64_t before = i == 0 ? -1 : taken[worker][i - 1];
        if (i == 0 || own(now) != own(before)) {  // its own share comes first
          EXPECT_EQ(i == 0, own(now));
        } else {
          EXPECT_EQ(now - before, own(now) ? 1 : -1);
        }
      }
    }
  }
}

// More threads than any machine has cores: many are held up, all work is done, and the end is clean.
TEST(ThreadPool, ManyThreadsOnFewCores) {
  ThreadPool pool(64);
  std::atomic<std::int64_t> sum{0};
  for (int round = 0; round < 2000; ++round) pool.run(7, [&](std::int64_t index, int) { sum += index; });
  EXPECT_EQ(sum.load(), 2000 * 21);
}

// A worker that is not there is not waited for: one chunk that takes long keeps the caller, the others go on.
TEST(ThreadPool, AHeldUpWorkerCostsOneChunk) {
  ThreadPool pool(2);
  std::array<std::atomic<int>, 2> done{};
  pool.run(50, [&](std::int64_t index, int worker) {
    if (index == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    done[static_cast<std::size_t>(worker)].fetch_add(1);
  });
  EXPECT_EQ(done[0] + done[1], 50);
}

TEST(ThreadPool, KnowsItsCores) { EXPECT_GE(available_cores(), 1); }

}  // namespace
}  // namespace maestrale
