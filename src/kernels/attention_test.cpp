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
  // Q8: of the block of a key's value that holds element d.
  float value_scale(std::size_t key, int d) const {
    return value_scales_[key * static_cast<std::size_t>(layout_.scale_blocks) +
                         static_cast<std::size_t>(d / kKvScaleBlock)];
  }

 private:
  // An element of type F32 or F16 at `index`.
  float put(std::byte* base, std::size_t index, Random& random) const {
    const float value = random.normal_like();
    if (shape_.type == KvType::kF32) {
      std::memcpy(base + index * 4, &value, 4);
      return value;
    }
    const std::uint16_t half = f32_to_f16(value);
    std::memcpy(base + index * 2, &half, 2);
    return f16_to_f32(half);
  }

  // A code at `index`, stored with `offset` added; the first of a block draws its scale.
  static float put_code(std::byte* base, int index, int offset, float* scale, bool first, Random& random) {
    if (first) *scale = 0.01f * (1 + std::fabs(random.normal_like()));
    const int code = static_cast<int>(random.next() % 255) - 127;
    base[index] = static_cast<std::byte>(code + offset);
    return static_cast<float>(code) * *scale;
  }

  float put_key(int key, int d, Random& random) {
    std::byte* part = pages_[static_cast<std::size_t>(key / kPageTokens)] + kOffset;
    const int slot = key % kPageTokens, group = slot / kLanes, lane = slot % kLanes;
    if (shape_.type != KvType::kQ8)
      return put(part, static_cast<std::size_t>((group * shape_.head_size + d) * kLanes + lane), random);
    auto* scales = reinterpret_cast<float*>(part + layout_.key_scales);
    float* scale = scales + (group * layout_.scale_blocks + d / kKvScaleBlock) * kLanes + lane;
    const int index = ((group * layout_.key_quads + d / 4) * kLanes + lane) * 4 + d % 4;
    return put_code(part, index, 128, scale, d % kKvScaleBlock == 0, random);
  }

  float put_value(int key, int d, Random& random) {
    std::byte* part = pages_[static_cast<std::size_t>(key / kPageTokens)] + kOffset;
    const int slot = key % kPageTokens;
    if (shape_.type != KvType::kQ8)
      return put(part + layout_.values, static_cast<std::size_t>(slot * layout_.value_size + d), random);
    float* scale =
        reinterpret_cast<float*>(part + layout_.value_scales) + d / kKvScaleBlock * kPageTokens + slot;
    const int index = (slot / 4 * layout_.value_size + d) * 4 + slot % 4;
    const float value = put_code(part + layout_.values, index, 0, scale, d % kKvScaleBlock == 0, random);
    if (d % kKvScaleBlock == 0) value_scales_.resize(value_scales_.size() + 1);
    value_scales_.back() = *scale;
    return value;
  }

  Shape shape_;
  KvHeadLayout layout_;
  std::vector<Buffer> storage_;
  std::vector<std::byte*> pages_;
  std::vector<float> value_scales_;
};

// The query as the kernels of 8-bit caches see it: blocks of 32 rounded to their largest magnitude / 127.
std::vector<float> rounded_query(const Shape& shape, const float* query) {
  std::vector<float> out(query, query + shape.head_size);
  if (shape.type != KvType::kQ8) return out;
  for (int first = 0; first < shape.head_size; first += kKvScaleBlock) {
    float largest = 0;
    const int end = std::min(first + kKvScaleBlock, shape.head_size);
    for (int d = first; d < end; ++d) largest = std::max(largest, std::fabs(query[d]));
    const float scale = largest / 127.0f;
    for (int d = first; d < end; ++d)
      out[static_cast<std::size_t>(d)] = std::nearbyint(query[d] * (1.0f / scale)) * scale;
  }
  return out;
}

// What rounding the weights of keys first, first + 1, … to codes may move output d by: half a unit for each
// key, and a unit is 1/127 of the page's largest weight, or 1/128 of that where the page is more than 1/128
// of the sum up to it.
double weight_rounding(const Shape& shape, const Cache& cache, std::int64_t first, int d,
                       const std::vector<double>& weights) {
  if (shape.type != KvType::kQ8) return 0;
  double so_far = 0, moved = 0;
  for (std::size_t i = 0; i < weights.size();) {
    const std::int64_t page = (first + static_cast<std::int64_t>(i)) / kPageTokens;
    double most = 0, scale = 0, keys = 0;
    for (; i < weights.size() && (first + static_cast<std::int64_t>(i)) / kPageTokens == page; ++i) {
      most = std::max(most, weights[i]);
      scale = std::max(scale, double{cache.value_scale(static_cast<std::size_t>(first) + i, d)});
      so_far += weights[i];
      ++keys;
    }
    const double unit = most * scale / 127 / (most > so_far * (1.01 / 128) ? 128 : 1);
    moved += keys * unit / 2 * 127;
  }
  return moved;
}

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
  Buffer codes(query_code_bytes(shape.head_size)), weight_codes(rows * kWeightCodes);
  tile.codes = codes.data();
  tile.weight_codes = reinterpret_cast<std::int8_t*>(weight_codes.data());
  tile.out = out.floats();
  table.attend(tile);
  return {tile.out, tile.out + rows * width};
}

void expect_near_truth(const Shape& shape, const Cache& cache, const float* exact_query,
                       std::int64_t position, const float* found, const std::string& where) {
  const std::vector<float> query = rounded_query(shape, exact_query);
  const std::int64_t first = shape.window > 0 ? std::max<std::int64_t>(position + 1 - shape.window, 0) : 0;
  std::vector<double> scores;
  double most = -1e300, score_error = 0;
  for (std::int64_t key = first; key <= position; ++key) {
    double score = 0, size = 0;
    for (int d = 0; d < shape.head_size; ++d) {
      const double term = double{query[static_cast<std::size_t>(d)]} *
                          double{cache.keys[static_cast<std::size_t>(key * shape.head_size + d)]};
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
  // The power of two of the 8-bit kernels: 2e-7 more for a weight and for their sum.
  const double power_error = shape.type == KvType::kQ8 ? 4e-7 : 0;
  const double bound = 2 * score_error + power_error +
                       kUnitRoundoff * (2 * range + 2 * static_cast<double>(scores.size()) + 40);
  for (int d = 0; d < shape.head_size; ++d) {
    double exact = 0, size = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const std::size_t key = static_cast<std::size_t>(first) + i;
      const double value =
          double{cache.values[key * static_cast<std::size_t>(shape.head_size) + static_cast<std::size_t>(d)]};
      exact += scores[i] / total * value;
      size += scores[i] / total * std::fabs(value);
    }
    const double rounding = weight_rounding(shape, cache, first, d, scores) / total;
    ASSERT_NEAR(found[d], exact, bound * size + rounding) << where << ", dimension " << d;
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
    for (const int keys : {1, 16, 17, 64, 65, 200, 700}) {
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
