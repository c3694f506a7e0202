#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/dispatch.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {
namespace {

constexpr std::int64_t kTokens = 23;
constexpr std::int64_t kChannels = 300;  // more than one piece of channels, the last in part of a vector
constexpr int kWidth = 4, kHeads = 6, kHeadSize = 10, kGroups = 2, kState = 16;
constexpr std::int64_t kInner = kHeads * kHeadSize;
constexpr std::int64_t kScanWidth = kInner + 2 * kGroups * kState;

std::vector<float> noise(std::uint64_t seed, std::int64_t n, double from = -1, double to = 1) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(from + (to - from) * uniform(seed, 0, i));
  }
  return values;
}

struct Data {
  std::vector<float> x = noise(1, kTokens*kChannels), weight = noise(2, kWidth*kChannels),
                     bias = noise(3, kChannels);
  std::vector<float> inputs = noise(4, kTokens*kScanWidth), step = noise(5, kTokens*kHeads, -3, 3);
  std::vector<float> decay = noise(6, kHeads, -4, -0.1), step_bias = noise(7, kHeads),
                     skip = noise(8, kHeads);
};

double silu(double x) { return x / (1 + std::exp(-x)); }

std::vector<double> conv_truth(const Data& data) {
  std::vector<double> out;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    for (std::int64_t c = 0; c < kChannels; ++c) {
      double sum = data.bias[static_cast<std::size_t>(c)];
      for (std::int64_t k = 0; k < kWidth; ++k) {
        const std::int64_t from = t - (kWidth - 1) + k;
        if (from < 0) continue;
        sum += static_cast<double>(data.weight[static_cast<std::size_t>(k * kChannels + c)]) *
               static_cast<double>(data.x[static_cast<std::size_t>(from * kChannels + c)]);
      }
      out.push_back(silu(sum));
    }
  }
  return out;
}

std::vector<double> scan_truth(const Data& data) {
  std::vector<double> state(static_cast<std::size_t>(kInner * kState), 0.0), out;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    const float* row = data.inputs.data() + t * kScanWidth;
    for (std::int64_t i = 0; i < kInner; ++i) {
      const auto head = static_cast<std::size_t>(i / kHeadSize);
      const std::int64_t group = static_cast<std::int64_t>(head) / (kHeads / kGroups);
      const double step = std::log1p(std::exp(static_cast<double>(
          data.step[static_cast<std::size_t>(t * kHeads) + head] + data.step_bias[head])));
      double sum = data.skip[head] * static_cast<double>(row[i]);
      for (std::int64_t n = 0; n < kState; ++n) {
        double& s = state[static_cast<std::size_t>(i * kState + n)];
        s = s * std::exp(step * data.decay[head]) +
            step * static_cast<double>(row[i]) * row[kInner + group * kState + n];
        sum += s * row[kInner + (kGroups + group) * kState + n];
      }
      out.push_back(sum);
    }
  }
  return out;
}

struct Outputs {
  std::vector<float> conv = std::vector<float>(kTokens * kChannels);
  std::vector<float> scan = std::vector<float>(kTokens * kInner);
};

// Both operations over the tokens in pieces, as a sequence that is not the only one.
Outputs run(const char* isa, const Data& data, std::int64_t chunk) {
  const auto ops = std::move(make_cpu_ops(isa, 2)).value();
  KvShape shape;
  shape.layers = 2;
  shape.state = {.conv = (kWidth - 1) * kChannels, .scan = kInner * kState};
  KvCache cache = std::move(KvCache::create(shape, 1, 2)).value();
  cache.open_sequence();
  const int sequence = cache.open_sequence();
  Outputs out;
  std::vector<std::int32_t> positions(static_cast<std::size_t>(kTokens));
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<std::int32_t> sequences(positions.size(), sequence);
  for (std::int64_t first = 0; first < kTokens; first += chunk) {
    const std::int64_t count = std::min(chunk, kTokens - first);
    const BatchRows rows{
        std::span(positions).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
        std::span(sequences).first(static_cast<std::size_t>(count))};
    EXPECT_TRUE(cache.reserve(sequence, first + count).ok());
    ops->causal_conv(data.x.data() + first * kChannels, kChannels,
                     {.channels = kChannels, .width = kWidth, .weight = data.weight, .bias = data.bias}, 1,
                     rows, cache, out.conv.data() + first * kChannels);
    ops->scan({.heads = kHeads,
               .head_size = kHeadSize,
               .groups = kGroups,
               .state_size = kState,
               .decay = data.decay,
               .step_bias = data.step_bias,
               .skip = data.skip},
              {.x = data.inputs.data() + first * kScanWidth,
               .x_stride = kScanWidth,
               .step = data.step.data() + first * kHeads,
               .step_stride = kHeads},
              1, rows, cache, out.scan.data() + first * kInner);
    cache.advance(sequence, first + count);
  }
  return out;
}

TEST(Recurrent, IsExactOnEveryInstructionSetAndHoweverItIsCut) {
  const Data data;
  const std::vector<double> conv = conv_truth(data), scan = scan_truth(data);
  const Outputs first = run("ref", data, kTokens);
  for (std::size_t i = 0; i < conv.size(); ++i) EXPECT_NEAR(first.conv[i], conv[i], 2e-6);
  for (std::size_t i = 0; i < scan.size(); ++i)
    EXPECT_NEAR(first.scan[i], scan[i], 2e-5 * (1 + std::fabs(scan[i])));
  for (const kernels::KernelTable* table : kernels::usable_tables()) {
    for (const std::int64_t chunk : {std::int64_t{1}, std::int64_t{5}, kTokens}) {
      const Outputs out = run(table->name, data, chunk);
      EXPECT_EQ(out.conv, first.conv) << table->name << " " << chunk;
      EXPECT_EQ(out.scan, first.scan) << table->name << " " << chunk;
    }
  }
}

TEST(Recurrent, AStateThatIsCutBeginsAgain) {
  KvShape shape;
  shape.layers = 1;
  shape.state = {.conv = 16, .scan = 16};
  KvCache cache = std::move(KvCache::create(shape, 4, 1)).value();
  const int sequence = cache.open_sequence();
  ASSERT_TRUE(cache.reserve(sequence, 10).ok());
  cache.advance(sequence, 10);
  EXPECT_EQ(cache.truncate(sequence, 10), 10);
  EXPECT_EQ(cache.truncate(sequence, 7), 0);
  EXPECT_EQ(cache.state_tokens(sequence), 0);
  const int another = cache.open_sequence();
  EXPECT_FALSE(cache.reserve(another, 1).ok());  // there is room for one state
}

}  // namespace
}  // namespace maestrale::ops
