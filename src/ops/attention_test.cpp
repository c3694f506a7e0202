// Attention with sinks, chunks, windows, temperatures, distances and in both directions against double
// precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/dispatch.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {
namespace {

constexpr int kHeads = 4, kKvHeads = 2, kSize = 16;
constexpr std::int64_t kTokens = 150;  // three pages, the last in part

std::vector<float> numbers(std::uint64_t seed, std::int64_t n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(4 * uniform(seed, 0, i) - 2);
  return values;
}

struct Data {
  std::vector<float> q = numbers(1, kTokens*kHeads*kSize), k = numbers(2, kTokens*kKvHeads*kSize),
                     v = numbers(3, kTokens*kKvHeads*kSize), sinks = numbers(4, kHeads),
                     scale = numbers(5, kTokens);
};

std::vector<float> run(const Data& data, const AttentionOptions& options, const char* isa) {
  const auto ops = std::move(make_cpu_ops(isa, 2)).value();
  EXPECT_TRUE(ops->reserve_scratch(kTokens, 64).ok());
  const KvShape shape{.layers = 1, .kv_heads = kKvHeads, .head_size = kSize, .type = KvType::kF32};
  KvCache cache = std::move(KvCache::create(shape, KvShape::pages_for(kTokens))).value();
  const int sequence = cache.open_sequence();
  EXPECT_TRUE(cache.reserve(sequence, kTokens).ok());
  std::vector<std::int32_t> positions(static_cast<std::size_t>(kTokens));
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<std::int32_t> sequences(positions.size(), sequence);
  ops->store_kv(data.k.data(), data.v.data(), 0, {positions, sequences}, cache);
  std::vector<float> out(data.q.size());
  ops->attention(data.q.data(), 0, {positions, sequences}, cache, options, out.data());
  return out;
}

// One element of the output.
double truth(const Data& data, const AttentionOptions& options, std::int64_t token, int head, int d) {
  const int kv_head = head / (kHeads / kKvHeads);
  double total = options.sinks == nullptr ? 0 : std::exp(static_cast<double>(options.sinks[head])), sum = 0;
  for (std::int64_t key = 0; key <= (options.both_ways ? kTokens - 1 : token); ++key) {
    if (options.window > 0 && token - key >= options.window) continue;
    if (options.chunk > 0 && token / options.chunk != key / options.chunk) continue;
    double score = 0;
    for (int i = 0; i < kSize; ++i) {
      score += static_cast<double>(data.q[static_cast<std::size_t>((token * kHeads + head) * kSize + i)]) *
               static_cast<double>(data.k[static_cast<std::size_t>((key * kKvHeads + kv_head) * kSize + i)]);
    }
    score *= static_cast<double>(options.scale);
    if (!options.row_scale.empty())
      score *= static_cast<double>(options.row_scale[static_cast<std::size_t>(token)]);
    if (!options.distance_slopes.empty()) {
      score -= static_cast<double>(options.distance_slopes[static_cast<std::size_t>(head)]) *
               static_cast<double>(std::abs(token - key));
    }
    total += std::exp(score);
    sum += std::exp(score) *
           static_cast<double>(data.v[static_cast<std::size_t>((key * kKvHeads + kv_head) * kSize + d)]);
  }
  return sum / total;
}

TEST(Attention, WithSinksChunksWindowsTemperaturesDistancesAndBothWays) {
  const Data data;
  const AttentionOptions plain{.heads = kHeads, .kv_heads = kKvHeads, .head_size = kSize, .scale = 0.25f};
  constexpr float kSlopes[] = {0.5f, 0.25f, 0.0625f, 0.00390625f};
  std::vector<AttentionOptions> cases(9, plain);
  cases[1].sinks = data.sinks.data();
  cases[2].chunk = 48;
  cases[3].row_scale = data.scale;
  cases[4].window = 20;
  cases[4].sinks = data.sinks.data();
  cases[5].chunk = 64;
  cases[5].sinks = data.sinks.data();
  cases[6].both_ways = cases[7].both_ways = true;
  cases[7].distance_slopes = cases[8].distance_slopes = kSlopes;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::vector<float> reference = run(data, cases[i], "ref");
    for (std::int64_t token = 0; token < kTokens; ++token) {
      for (int head = 0; head < kHeads; ++head) {
        for (int d = 0; d < kSize; ++d) {
          ASSERT_NEAR(reference[static_cast<std::size_t>((token * kHeads + head) * kSize + d)],
                      truth(data, cases[i], token, head, d), 2e-6)
              << "case " << i << ", token " << token << ", head " << head;
        }
      }
    }
    for (const kernels::KernelTable* table : kernels::usable_tables()) {
      EXPECT_EQ(run(data, cases[i], table->name), reference) << "case " << i << " " << table->name;
    }
  }
}

}  // namespace
}  // namespace maestrale::ops
