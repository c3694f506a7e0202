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

constexpr int kHeads = 5;
constexpr LatentOptions kOptions{.heads = kHeads, .latent_size = 48, .rotated_size = 16, .scale = 0.3f};
constexpr int kSize = 64;
constexpr int kIndexSize = 32;
constexpr std::int64_t kTokens = 150;  // three pages, the last in part

std::vector<float> gaussian(std::uint64_t seed, std::int64_t n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform(seed, 0, i)));
    values[i] = static_cast<float>(radius * std::cos(2 * M_PI * uniform(seed, 1, i)));
  }
  return values;
}

// One sequence of rows of latent and indexer keys.
struct Bench {
  Bench(const char* isa, KvType type, std::int64_t count = kTokens, int threads = 2)
      : tokens(count), ops(std::move(make_cpu_ops(isa, threads)).value()) {
    const KvShape shape{.layers = 2,
                        .kv_heads = 1,
                        .head_size = kSize,
                        .latent = true,
                        .index_size = kIndexSize,
                        .type = type};
    cache = std::move(KvCache::create(shape, KvShape::pages_for(tokens))).value();
    EXPECT_TRUE(ops->reserve_scratch(tokens, 1024).ok());
    sequence = cache->open_sequence();
    EXPECT_TRUE(cache->reserve(sequence, tokens).ok());
    positions.resize(static_cast<std::size_t>(tokens));
    std::iota(positions.begin(), positions.end(), 0);
    sequences.assign(positions.size(), sequence);
    ops->store_rows(rows.data(), kSize, KvRows::kLatent, 1, {positions, sequences}, *cache);
    ops->store_rows(index_keys.data(), kIndexSize, KvRows::kIndex, 1, {positions, sequences}, *cache);
  }

  // Attention of tokens [first, last) with all the others' rows in the cache.
  std::vector<float> attend(std::size_t first, std::size_t last, const KeySelection* selection = nullptr,
                            const LatentOptions& options = kOptions) const {
    const BatchRows batch{std::span(positions).subspan(first, last - first),
                          std::span(sequences).subspan(first, last - first)};
    std::vector<float> out((last - first) * kHeads * 48);
    const LatentQueries queries{.latent = latent.data() + first * kHeads * 48,
                                .rotated = rotated.data() + first * kHeads * 16,
                                .rotated_row_stride = kHeads * 16,
                                .rotated_head_stride = 16,
                                .row_scale = std::span(temperatures).subspan(first, last - first)};
    ops->latent_attention(queries, 1, batch, *cache, options, selection, out.data());
    return out;
  }

  std::int64_t tokens;
  std::unique_ptr<Ops> ops;
  std::optional<KvCache> cache;
  int sequence = 0;
  std::vector<std::int32_t> positions, sequences;
  const std::vector<float> rows = gaussian(1, tokens* kSize);
  const std::vector<float> index_keys = gaussian(2, tokens* kIndexSize);
  const std::vector<float> latent = gaussian(3, tokens* kHeads * 48);
  const std::vector<float> rotated = gaussian(4, tokens* kHeads * 16);
  const std::vector<float> temperatures = std::vector<float>(static_cast<std::size_t>(tokens), 1.25f);
};

// The same in double over `keys`, for one token and head.
std::vector<double> truth(const Bench& bench, std::size_t token, std::size_t head,
                          const std::vector<int>& keys) {
  std::vector<double> scores, out(48, 0.0);
  for (const int key : keys) {
    const float* row = bench.rows.data() + key * kSize;
    double score = 0;
    for (std::size_t d = 0; d < 48; ++d)
      score += bench.latent[(token * kHeads + head) * 48 + d] * static_cast<double>(row[d]);
    for (std::size_t d = 0; d < 16; ++d) {
      score += bench.rotated[(token * kHeads + head) * 16 + d] * static_cast<double>(row[48 + d]);
    }
    scores.push_back(score * kOptions.scale * 1.25);
  }
  const double top = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - top);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (std::size_t d = 0; d < 48; ++d)
      out[d] += scores[i] / total * bench.rows[static_cast<std::size_t>(keys[i] * kSize) + d];
  }
  return out;
}

std::vector<int> all_keys(std::size_t token) {
  std::vector<int> keys(token + 1);
  std::iota(keys.begin(), keys.end(), 0);
  return keys;
}

// Worst error of the named tokens. Rows are gaussian: an error of relative size e in keys moves scores (of
// size 0.3 · 1.25 · √64 · |q| ~ 3 each) by about 3 e √8.
double worst_error(const Bench& bench, const std::vector<float>& out,
                   const std::vector<std::size_t>& tokens = {0, 1, 63, 64, 149}) {
  double worst = 0;
  for (const std::size_t token : tokens) {
    for (std::size_t head = 0; head < kHeads; ++head) {
      const std::vector<double> exact = truth(bench, token, head, all_keys(token));
      for (std::size_t d = 0; d < 48; ++d) {
        worst =
            std::max(worst, std::fabs(exact[d] - static_cast<double>(out[(token * kHeads + head) * 48 + d])));
      }
    }
  }
  return worst;
}

TEST(LatentAttention, IsExactOnEveryInstructionSetAndHoweverItIsCut) {
  for (const auto& [type, tolerance] :
       {std::pair(KvType::kF32, 1e-5), {KvType::kF16, 1e-2}, {KvType::kQ8, 0.12}}) {
    std::vector<float> first;
    for (const kernels::KernelTable* table : kernels::usable_tables()) {
      const Bench bench(table->name, type);
      const std::vector<float> whole = bench.attend(0, kTokens);
      EXPECT_LT(worst_error(bench, whole), tolerance) << table->name << " " << kv_type_name(type);
      if (first.empty()) first = whole;
      EXPECT_EQ(whole, first) << table->name;
      for (const std::size_t chunk : {1UL, 7UL, 64UL}) {
        for (std::size_t begin = 0; begin < kTokens; begin += chunk) {
          const std::size_t end = std::min<std::size_t>(begin + chunk, kTokens);
          const std::vector<float> part = bench.attend(begin, end);
          EXPECT_TRUE(std::equal(part.begin(), part.end(),
                                 whole.begin() + static_cast<std::ptrdiff_t>(begin * kHeads * 48)))
              << table->name << " " << chunk << " at " << begin;
        }
      }
    }
  }
}

// More keys than one part holds: alone a token's parts are shared out, in a batch they come in order.
TEST(LatentAttention, ManyKeysInPartsAreTheSame) {
  constexpr std::int64_t kMany = 1300;
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8}) {
    std::vector<float> first;
    for (const kernels::KernelTable* table : kernels::usable_tables()) {
      const Bench bench(table->name, type, kMany, 3);
      const std::vector<float> whole = bench.attend(0, kMany);
      if (first.empty()) first = whole;
      EXPECT_EQ(whole, first) << table->name;
      for (const std::size_t token : {511UL, 512UL, 575UL, 1023UL, 1024UL, 1299UL}) {
        const std::vector<float> alone = bench.attend(token, token + 1);
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                               whole.begin() + static_cast<std::ptrdiff_t>(token * kHeads * 48)))
            << table->name << " " << token;
      }
      EXPECT_LT(worst_error(bench, whole, {512, 1299}), type == KvType::kF32 ? 1e-5 : 0.12);
    }
  }
}

// The head that predicts further tokens has nothing at position 0.
TEST(LatentAttention, KeysBeforeTheFirstAreNotSeen) {
  for (const auto& [type, tolerance] :
       {std::pair(KvType::kF32, 1e-5), {KvType::kF16, 1e-2}, {KvType::kQ8, 0.12}}) {
    for (const int first_key : {1, 17}) {
      LatentOptions options = kOptions;
      options.first_key = first_key;
      std::vector<float> first;
      for (const kernels::KernelTable* table : kernels::usable_tables()) {
        const Bench bench(table->name, type);
        const auto begin = static_cast<std::size_t>(first_key);
        const std::vector<float> out = bench.attend(begin, kTokens, nullptr, options);
        if (first.empty()) first = out;
        EXPECT_EQ(out, first) << table->name;
        for (const std::size_t token : {17UL, 63UL, 64UL, 149UL}) {
          std::vector<int> keys = all_keys(token);
          keys.erase(keys.begin(), keys.begin() + first_key);
          const std::vector<double> exact = truth(bench, token, 2, keys);
          for (std::size_t d = 0; d < 48; ++d)
            EXPECT_NEAR(out[((token - begin) * kHeads + 2) * 48 + d], exact[d], tolerance) << token;
        }
      }
    }
  }
}

struct Selected {
  std::vector<std::int32_t> positions, counts;
  KeySelection view;
};

Selected select(const Bench& bench, const std::vector<float>& q, const std::vector<float>& weights, int heads,
                std::int64_t most) {
  Selected selected;
  selected.positions.resize(static_cast<std::size_t>(kTokens * most));
  selected.counts.resize(static_cast<std::size_t>(kTokens));
  selected.view = {most, selected.positions, selected.counts};
  bench.ops->select_keys(q.data(), weights.data(), 1, {bench.positions, bench.sequences}, *bench.cache,
                         {.heads = heads, .head_size = kIndexSize}, selected.view);
  return selected;
}

// The best keys of a token, by a full sort of ratings in double.
std::vector<int> best_keys(const Bench& bench, const std::vector<float>& q, const std::vector<float>& weights,
                           std::size_t heads, std::size_t token, std::size_t most) {
  std::vector<int> keys = all_keys(token);
  std::vector<double> ratings(keys.size(), 0.0);
  for (const int key : keys) {
    for (std::size_t head = 0; head < heads; ++head) {
      double score = 0;
      for (std::size_t d = 0; d < kIndexSize; ++d) {
        score += static_cast<double>(q[(token * heads + head) * kIndexSize + d]) *
                 static_cast<double>(bench.index_keys[static_cast<std::size_t>(key) * kIndexSize + d]);
      }
      ratings[static_cast<std::size_t>(key)] += weights[token * heads + head] * std::max(score, 0.0);
    }
  }
  std::stable_sort(keys.begin(), keys.end(), [&](int a, int b) {
    return ratings[static_cast<std::size_t>(a)] > ratings[static_cast<std::size_t>(b)];
  });
  keys.resize(std::min(keys.size(), most));
  std::sort(keys.begin(), keys.end());
  return keys;
}

TEST(LatentAttention, AnIndexerKeepsTheBestKeysAndOnlyTheyAreSeen) {
  constexpr std::size_t kIndexHeads = 37;  // more than one tile of them
  constexpr std::size_t kMost = 20;
  const std::vector<float> q = gaussian(5, kTokens * 37 * kIndexSize);
  const std::vector<float> weights = gaussian(6, kTokens * 37);
  std::vector<float> first;
  for (const kernels::KernelTable* table : kernels::usable_tables()) {
    const Bench bench(table->name, KvType::kF32);
    const Selected selected = select(bench, q, weights, kIndexHeads, kMost);
    const std::vector<float> out = bench.attend(0, kTokens, &selected.view);
    for (std::size_t token = 0; token < kTokens; ++token) {
      const std::vector<int> keys = best_keys(bench, q, weights, kIndexHeads, token, kMost);
      if (token < kMost) {
        EXPECT_EQ(selected.counts[token], 0);
      } else {
        ASSERT_EQ(selected.counts[token], static_cast<std::int32_t>(kMost));
        EXPECT_TRUE(std::equal(keys.begin(), keys.end(),
                               selected.positions.begin() + static_cast<std::ptrdiff_t>(token * kMost)))
            << "token " << token;
      }
      const std::vector<double> exact = truth(bench, token, 2, keys);
      for (std::size_t d = 0; d < 48; ++d) EXPECT_NEAR(out[(token * kHeads + 2) * 48 + d], exact[d], 1e-5);
    }
    if (first.empty()) first = out;
    EXPECT_EQ(out, first) << table->name;
  }
}

TEST(LatentAttention, KeepsTheLowerPositionAmongEquals) {
  const Bench bench("ref", KvType::kF32);
  const std::vector<float> q(static_cast<std::size_t>(kTokens) * kIndexSize, 0.0f);  // every rating is 0
  const std::vector<float> weights(static_cast<std::size_t>(kTokens), 1.0f);
  const Selected selected = select(bench, q, weights, 1, 10);
  for (std::int32_t i = 0; i < 10; ++i)
    EXPECT_EQ(selected.positions[149 * 10 + static_cast<std::size_t>(i)], i);
}

TEST(LatentAttention, ARowTakesAsManyBytesAsItHasElements) {
  // DeepSeek V3: 576 elements of 2 bytes, for a layer.
  const KvShape shape{.layers = 61, .kv_heads = 1, .head_size = 576, .latent = true, .type = KvType::kF16};
  EXPECT_EQ(shape.page_bytes(), 61U * 1152U * kPageTokens);
}

}  // namespace
}  // namespace maestrale::ops
