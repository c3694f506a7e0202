#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "kernels/dispatch.h"
#include "kernels/test_support.h"
#include "tensor/half.h"

namespace maestrale::kernels {
namespace {

constexpr std::size_t kOffset = 128;  // of the head within its page

struct Shape {
  KvType type;
  int head_size, keys, rows;
  std::int64_t window;
};

// Keys and values of one sequence, as pages and as the numbers they stand for ([keys][head_size]).
class Cache {
 public:
  Cache(const Shape& shape, Random& random)
      : shape_(shape), layout_(kv_head_layout(shape.type, shape.head_size)) {
    const int pages = (shape.keys + kPageTokens - 1) / kPageTokens;
    for (int page = 0; page < pages; ++page) storage_.emplace_back(kOffset + layout_.bytes);
    for (Buffer& buffer : storage_) pages_.push_back(buffer.data());
    for (int key = 0; key < shape.keys; ++key) {
      for (int d = 0; d < shape.head_size; ++d) {
        keys.push_back(put_key(key, d, random));
        values.push_back(put_value(key, d, random));
      }
    }
  }

  std::vector<float> keys, values;
  const std::byte* const* pages() const { return pages_.data(); }
  const KvHeadLayout& layout() const { return layout_; }

 private:
  float put(std::byte* base, std::size_t index, float* scale, bool first, Random& random) const {
    const float value = random.normal_like();
    if (shape_.type == KvType::kF32) {
      std::memcpy(base + index * 4, &value, 4);
      return value;
    }
    if (shape_.type == KvType::kF16) {
      const std::uint16_t half = f32_to_f16(value);
      std::memcpy(base + index * 2, &half, 2);
      return f16_to_f32(half);
    }
    if (first) *scale = 0.01f * (1 + std::fabs(random.normal_like()));
    const auto code = static_cast<std::int8_t>(random.next() % 255 - 127);
    std::memcpy(base + index, &code, 1);
    return static_cast<float>(code) * *scale;
  }

  float put_key(int key, int d, Random& random) {
    std::byte* part = pages_[static_cast<std::size_t>(key / kPageTokens)] + kOffset;
    const int slot = key % kPageTokens, group = slot / kLanes, lane = slot % kLanes;
    auto* scales = reinterpret_cast<float*>(part + layout_.key_scales);
    float* scale = scales + (group * layout_.scale_blocks + d / kKvScaleBlock) * kLanes + lane;
    return put(part, static_cast<std::size_t>((group * shape_.head_size + d) * kLanes + lane), scale,
               d % kKvScaleBlock == 0, random);
  }

  float put_value(int key, int d, Random& random) {
    std::byte* part = pages_[static_cast<std::size_t>(key / kPageTokens)] + kOffset;
    const int slot = key % kPageTokens;
    auto* scales = reinterpret_cast<float*>(part + layout_.value_scales);
    return put(part + layout_.values, static_cast<std::size_t>(slot * layout_.value_size + d),
               scales + slot * layout_.scale_blocks + d / kKvScaleBlock, d % kKvScaleBlock == 0, random);
  }

  Shape shape_;
  KvHeadLayout layout_;
  std::vector<Buffer> storage_;
  std::vector<std::byte*> pages_;
};

// [rows][value_size]
std::vector<float> attend(const KernelTable& table, const Shape& shape, const Cache& cache,
                          const std::vector<float>& queries, const std::vector<std::int32_t>& positions) {
  const auto rows = static_cast<std::size_t>(shape.rows);
  Buffer scores(rows * kPageTokens * 4), sums(rows * (2 + kLanes) * 4);
  const std::size_t width = static_cast<std::size_t>(cache.layout().value_size);
  Buffer out(rows * width * 4);
  AttentionTile tile;
  tile.type = shape.type;
  tile.layout = cache.layout();
  tile.rows = shape.rows;
  tile.queries = queries.data();
  tile.positions = positions.data();
  tile.window = shape.window;
  tile.pages = cache.pages();
  tile.offset = kOffset;
  tile.scores = scores.floats();
  tile.sums = sums.floats();
  tile.out = out.floats();
  table.attend(tile);
  return {tile.out, tile.out + rows * width};
}

void expect_near_truth(const Shape& shape, const Cache& cache, const float* query, std::int64_t position,
                       const float* found, const std::string& where) {
  const std::int64_t first = shape.window > 0 ? std::max<std::int64_t>(position + 1 - shape.window, 0) : 0;
  std::vector<double> scores;
  double most = -1e300, score_error = 0;
  for (std::int64_t key = first; key <= position; ++key) {
    double score = 0, size = 0;
    for (int d = 0; d < shape.head_size; ++d) {
      const double term =
          double{query[d]} * double{cache.keys[static_cast<std::size_t>(key * shape.head_size + d)]};
      score += term;
      size += std::fabs(term);
    }
    scores.push_back(score);
    most = std::max(most, score);
    score_error = std::max(score_error, kUnitRoundoff * (shape.head_size + 2) * size);
  }
  double total = 0, range = 0;
  for (double& score : scores) {
    range = std::max(range, most - score);
    total += score = std::exp(score - most);
  }
  // Relative error of a weight, then of two sums of as many terms as there are keys.
  const double bound =
      2 * score_error + kUnitRoundoff * (2 * range + 2 * static_cast<double>(scores.size()) + 40);
  for (int d = 0; d < shape.head_size; ++d) {
    double exact = 0, size = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const std::size_t key = static_cast<std::size_t>(first) + i;
      const double value =
          double{cache.values[key * static_cast<std::size_t>(shape.head_size) + static_cast<std::size_t>(d)]};
      exact += scores[i] / total * value;
      size += scores[i] / total * std::fabs(value);
    }
    ASSERT_NEAR(found[d], exact, bound * size) << where << ", dimension " << d;
  }
}

void expect_right(const Shape& shape) {
  Random random;
  const Cache cache(shape, random);
  const std::vector<float> queries = random.normals(static_cast<std::size_t>(shape.rows * shape.head_size));
  std::vector<std::int32_t> positions;
  for (int row = 0; row < shape.rows; ++row) {
    positions.push_back(std::max(0, shape.keys - 1 - (shape.rows - 1 - row) / 2));
  }
  std::vector<float> first;
  for (const KernelTable* table : usable_tables()) {
    const std::string where = std::string(table->name) + ", head " + std::to_string(shape.head_size) + ", " +
                              std::to_string(shape.keys) + " keys, " + std::to_string(shape.rows) +
                              " rows, window " + std::to_string(shape.window);
    const std::vector<float> out = attend(*table, shape, cache, queries, positions);
    for (int row = 0; row < shape.rows; ++row) {
      expect_near_truth(shape, cache, queries.data() + row * shape.head_size,
                        positions[static_cast<std::size_t>(row)],
                        out.data() + row * cache.layout().value_size, where + ", row " + std::to_string(row));
      if (testing::Test::HasFatalFailure()) return;
      // A row does not know of its neighbours in the tile.
      const Shape alone{shape.type, shape.head_size, shape.keys, 1, shape.window};
      const std::vector<float> own(queries.begin() + row * shape.head_size,
                                   queries.begin() + (row + 1) * shape.head_size);
      const std::vector<float> one =
          attend(*table, alone, cache, own, {positions[static_cast<std::size_t>(row)]});
      ASSERT_EQ(std::memcmp(one.data(), out.data() + row * cache.layout().value_size, one.size() * 4), 0)
          << where;
    }
    if (first.empty()) first = out;
    ASSERT_EQ(std::memcmp(first.data(), out.data(), out.size() * 4), 0) << where;
  }
}

class EveryKvType : public testing::TestWithParam<KvType> {};

TEST_P(EveryKvType, IsNearTheTruthAndTheSameOnEveryTable) {
  for (const int head_size : {8, 40, 64, 80, 128}) {
    for (const int keys : {1, 16, 17, 64, 65, 200}) {
      for (const int rows : {1, 5, 32}) {
        for (const std::int64_t window : {0, 1, 10, 70}) {
          expect_right({GetParam(), head_size, keys, rows, window});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types, EveryKvType, testing::Values(KvType::kF32, KvType::kF16, KvType::kQ8), [](const auto& made) {
      return std::string(made.param == KvType::kF32 ? "f32" : made.param == KvType::kF16 ? "f16" : "q8");
    });

}  // namespace
}  // namespace maestrale::kernels
