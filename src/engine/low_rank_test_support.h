// An adapter of made-up values for the tiny model of test_support.h.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "engine/test_support.h"

namespace maestrale::engine {

inline constexpr std::int64_t kRank = 4;

// An adapter over made-up values that it owns.
struct TinyAdapter {
  explicit TinyAdapter(std::uint64_t seed, std::int64_t rank = kRank, int layers = 2) {
    adapter.path = "tiny adapter";
    adapter.alpha = 8;
    for (int layer = 0; layer < layers; ++layer) {
      const std::string prefix = "layers." + std::to_string(layer) + ".";
      add(prefix + "self_attn.q_proj", 256, 256, rank, seed);
      add(prefix + "self_attn.v_proj", 128, 256, rank, seed + 10);
      add(prefix + "self_attn.o_proj", 256, 256, rank, seed + 20);
      add(prefix + "mlp.down_proj", 256, 256, rank, seed + 30);
    }
  }

  TensorView side(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
    auto& values = storage.emplace_back(static_cast<std::size_t>(rows * columns));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(0.05 * (2 * uniform(seed, storage.size(), i) - 1));
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    return {
        .name = "side", .dtype = DType::kF32, .shape = {rows, columns}, .data = {bytes, values.size() * 4}};
  }

  void add(const std::string& module, std::int64_t rows, std::int64_t columns, std::int64_t rank,
           std::uint64_t seed) {
    adapter.pairs[module] = {.a = side(rank, columns, seed), .b = side(rows, rank, seed + 1)};
  }

  std::list<std::vector<float>> storage;
  files::Adapter adapter;
};

}  // namespace maestrale::engine
