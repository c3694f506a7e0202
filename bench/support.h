// What the bench programs share: memory that starts on a page, and the best of several timed runs.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace maestrale {

struct Lines {
  explicit Lines(std::size_t bytes)
      : memory(static_cast<std::byte*>(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096)), std::free) {
    std::memset(memory.get(), 0x35, bytes);
  }
  std::byte* data() const { return memory.get(); }
  std::unique_ptr<std::byte, void (*)(void*)> memory;
};

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The best of as many runs as fit into `seconds`, at least three.
template <class Body>
double best_seconds(double seconds, Body body) {
  double best = 1e30;
  const double start = now();
  for (int run = 0; run < 3 || now() - start < seconds; ++run) {
    const double begin = now();
    body();
    best = std::min(best, now() - begin);
  }
  return best;
}

}  // namespace maestrale
