#include "base/threads.h"

#include <gtest/gtest.h>

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

TEST(ThreadPool, KnowsItsCores) { EXPECT_GE(available_cores(), 1); }

}  // namespace
}  // namespace maestrale
