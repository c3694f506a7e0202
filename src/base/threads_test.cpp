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
