#include "ops/machine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/dispatch.h"

namespace maestrale::ops {
namespace {

constexpr int kRepetitions = 5;

// Fastest of a few runs of body(worker) on every worker of the pool at once, in seconds.
template <class Body>
double best_seconds(ThreadPool& pool, const Body& body) {
  double best = 1e30;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(pool.size(), [&body](std::int64_t index, int) { body(index); });
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

Result<double> measure_int8_peak_gops(int threads) {
  const kernels::KernelTable* table = TRY(kernels::default_table());
  ThreadPool pool(threads);
  // Scalar code is a hundred times slower: fewer say as much.
  const std::int64_t count = std::strcmp(table->name, "ref") == 0 ? 480'000 : 48'000'000;
  const double seconds = best_seconds(pool, [&](std::int64_t) {
    volatile std::int32_t sink = table->dot_yardstick(count);
    static_cast<void>(sink);
  });
  return 2.0 * 64 * static_cast<double>(count) * threads / seconds / 1e9;
}

Result<double> measure_read_gbps(int threads) {
  const kernels::KernelTable* table = TRY(kernels::default_table());
  ThreadPool pool(threads);
  // Far more than any cache holds, and still no burden beside a model.
  constexpr std::size_t kMostBytes = std::size_t{1} << 30, kMostBytesPerThread = std::size_t{256} << 20;
  const std::size_t share =
      std::min(kMostBytesPerThread, kMostBytes / static_cast<std::size_t>(threads)) / 1024 * 1024;
  const HugeBuffer memory = TRY(HugeBuffer::allocate(share * static_cast<std::size_t>(threads)));
  std::memset(memory.data(), 1, memory.size());
  const double seconds = best_seconds(pool, [&](std::int64_t index) {
    volatile std::int32_t sink =
        table->read_yardstick(memory.data() + static_cast<std::size_t>(index) * share, share);
    static_cast<void>(sink);
  });
  return static_cast<double>(share) * threads / seconds / 1e9;
}

}  // namespace maestrale::ops
