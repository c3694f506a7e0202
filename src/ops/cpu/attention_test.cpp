#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ops/cpu/test_support.h"
#include "tensor/half.h"

namespace maestrale::ops {
namespace {

constexpr int kLayers = 2, kLayer = 1, kKvHeads = 2, kHeads = 6, kSize = 40;
constexpr std::size_t kKvWidth = kKvHeads * kSize, kWidth = kHeads * kSize;
constexpr AttentionOptions kOptions{.heads = kHeads, .kv_heads = kKvHeads, .head_size = kSize, .scale = 0.2f};

KvCache make_cache(KvType type) {
  return std::move(
             KvCache::create({.layers = kLayers, .kv_heads = kKvHeads, .head_size = kSize, .type = type}, 8))
      .value();
}

// What one sequence has stored, and the batch rows that stored it.
struct Story {
  int sequence = 0;
  std::vector<float> keys, values;  // [tokens][kKvWidth]
};

// One row of attention in double over keys and values as they were given.
void expect_near_truth(const Story& story, const float* q, std::int64_t position, double tolerance,
                       const float* found) {
  for (int head = 0; head < kHeads; ++head) {
    const auto kv = static_cast<std::size_t>(head / (kHeads / kKvHeads) * kSize);
    std::vector<double> weights;
    double total = 0;
    for (std::size_t key = 0; key <= static_cast<std::size_t>(position); ++key) {
      double score = 0;
      for (std::size_t d = 0; d < kSize; ++d) {
        score += double{kOptions.scale} * double{q[static_cast<std::size_t>(head * kSize) + d]} *
                 double{story.keys[key * kKvWidth + kv + d]};
      }
      weights.push_back(std::exp(score));
      total += weights.back();
    }
    for (std::size_t d = 0; d < kSize; ++d) {
      double exact = 0;
      for (std::size_t key = 0; key < weights.size(); ++key) {
        exact += weights[key] / total * double{story.values[key * kKvWidth + kv + d]};
      }
      ASSERT_NEAR(found[static_cast<std::size_t>(head * kSize) + d], exact, tolerance) << "head " << head;
    }
  }
}

// Values are in [-1, 1]: the stored type's rounding moves a value and, by Σ|q| · scale ≤ 8, a weight.
double tolerance_of(KvType type) {
  const double rounding = type == KvType::kF32 ? 0x1.0p-24 : type == KvType::kF16 ? 0x1.0p-11 : 0.5 / 127;
  return rounding * (1 + 2 * 8) + 200 * kUnitRoundoff;
}

class StoredAs : public testing::TestWithParam<KvType> {
 protected:
  // Two sequences grow in one batch: the first by 5 tokens a step, the second by 1.
  std::vector<float> run(Ops& ops, std::vector<Story>& stories) {
    KvCache cache = make_cache(GetParam());
    stories.assign(2, {});
    for (Story& story : stories) story.sequence = cache.open_sequence();
    std::vector<float> all;
    for (std::uint64_t step = 0; step < 30; ++step) {
      std::vector<std::int32_t> positions, sequences;
      for (int i = 0; i < 5; ++i) add(stories[0], static_cast<int>(step) * 5 + i, positions, sequences);
      add(stories[1], static_cast<int>(step), positions, sequences);
      for (std::size_t i = 0; i < positions.size(); ++i) {
        EXPECT_TRUE(cache.reserve(sequences[i], positions[i] + 1).ok());
      }
      const std::vector<float> keys = noise(6 * kKvWidth, 100 + step),
                               values = noise(6 * kKvWidth, 200 + step);
      const std::vector<float> q = noise(6 * kWidth, 300 + step);
      ops.store_kv(keys.data(), values.data(), kLayer, {positions, sequences}, cache);
      append(stories[0], keys, values, 0, 5);
      append(stories[1], keys, values, 5, 6);
      std::vector<float> out(6 * kWidth);
      ops.attention(q.data(), kLayer, {positions, sequences}, cache, kOptions, out.data());
      for (std::size_t row = 0; row < 6; ++row) {
        expect_near_truth(stories[row / 5], q.data() + row * kWidth, positions[row], tolerance_of(GetParam()),
                          out.data() + row * kWidth);
        if (HasFatalFailure()) return {};
      }
      all.insert(all.end(), out.begin(), out.end());
    }
    return all;
  }

 private:
  static void add(const Story& story, int position, std::vector<std::int32_t>& positions,
                  std::vector<std::int32_t>& sequences) {
    positions.push_back(position);
    sequences.push_back(story.sequence);
  }
  static void append(Story& story, const std::vector<float>& keys, const std::vector<float>& values, int from,
                     int to) {
    constexpr auto kStep = static_cast<std::ptrdiff_t>(kKvWidth);
    story.keys.insert(story.keys.end(), keys.begin() + from * kStep, keys.begin() + to * kStep);
    story.values.insert(story.values.end(), values.begin() + from * kStep, values.begin() + to * kStep);
  }
};

TEST_P(StoredAs, GrowingSequencesInOneBatch) {
  std::vector<float> first;
  for (const std::string& isa : usable_instruction_sets()) {
    for (const int threads : {1, 3}) {
      const auto ops = make_ops(isa, threads);
      ASSERT_TRUE(ops->reserve_scratch(6, kWidth).ok());
      std::vector<Story> stories;
      const std::vector<float> out = run(*ops, stories);
      if (HasFatalFailure()) return;
      if (first.empty()) first = out;
      ASSERT_EQ(first, out) << isa << ", " << threads << " threads";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, StoredAs, testing::Values(KvType::kF32, KvType::kF16, KvType::kQ8),
                         [](const auto& made) { return std::string(kv_type_name(made.param)); });

}  // namespace
}  // namespace maestrale::ops
