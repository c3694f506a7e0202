// What the tests of this folder share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {

constexpr double kUnitRoundoff = 0x1.0p-24;  // of f32

// Uniform in [-1, 1).
inline std::vector<float> noise(std::size_t n, std::uint64_t stream) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(2 * uniform(3, stream, i) - 1);
  return values;
}

inline std::unique_ptr<Ops> make_ops(std::string_view isa, int threads) {
  auto ops = make_cpu_ops(isa, threads);
  EXPECT_TRUE(ops.ok()) << ops.error().render();
  return std::move(ops).value();
}

// Those of this machine, slowest first.
inline std::vector<std::string> usable_instruction_sets() {
  std::vector<std::string> names;
  for (const char* name : {"ref", "avx2", "avx512"}) {
    if (make_cpu_ops(name, 1).ok()) names.emplace_back(name);
  }
  return names;
}

}  // namespace maestrale::ops
