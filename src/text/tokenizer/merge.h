// Byte-pair merging: repeatedly joins the adjacent pair of lowest priority, the leftmost among equals.
// Quadratic with a small constant for short inputs; for long ones a bucket queue, which is linear in the
// number of merges apart from sorting.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace maestrale::text {

struct Symbol {
  std::uint32_t begin = 0;
  std::uint32_t size = 0;  // bytes; 0 once joined to the symbol on the left
  TokenId token = -1;
};

struct Join {
  static constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t priority = kNever;
  TokenId token = -1;
};

// Positions by (priority, position), smallest first. Positions of one priority mostly arrive in order.
class BucketQueue {
 public:
  bool empty() const { return order_.empty(); }
  void push(std::uint32_t priority, std::uint32_t position) {
    Bucket& bucket = buckets_[priority];
    if (bucket.empty()) {
      order_.push(priority);
      bucket = Bucket{};
    }
    if (bucket.in_order.empty() || position >= bucket.in_order.back()) {
      bucket.in_order.push_back(position);
    } else {
      bucket.late.push(position);
    }
  }
  std::pair<std::uint32_t, std::uint32_t> pop() {
    const std::uint32_t priority = order_.top();
    Bucket& bucket = buckets_[priority];
    std::uint32_t position = 0;
    const bool rest = bucket.head < bucket.in_order.size();
    if (rest && (bucket.late.empty() || bucket.in_order[bucket.head] <= bucket.late.top())) {
      position = bucket.in_order[bucket.head++];
    } else {
      position = bucket.late.top();
      bucket.late.pop();
    }
    if (bucket.empty()) order_.pop();
    return {priority, position};
  }

 private:
  template <class T>
  using MinHeap = std::priority_queue<T, std::vector<T>, std::greater<>>;
  struct Bucket {
    std::vector<std::uint32_t> in_order;
    std::size_t head = 0;
    MinHeap<std::uint32_t> late;
    bool empty() const { return head == in_order.size() && late.empty(); }
  };
  std::unordered_map<std::uint32_t, Bucket> buckets_;
  MinHeap<std::uint32_t> order_;
};

// `joined(left, right)` tells what two adjacent symbols would become. `symbols` keeps only what is left.
template <class Joined>
void merge_short(std::vector<Symbol>& symbols, const Joined& joined, std::vector<Join>& joins) {
  joins.resize(symbols.size());
  const auto update = [&](std::size_t i) {
    joins[i] = i + 1 < symbols.size() ? joined(symbols[i], symbols[i + 1]) : Join{};
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) update(i);
  while (symbols.size() > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < symbols.size(); ++i) {
      if (joins[i].priority < joins[best].priority) best = i;
    }
    if (joins[best].priority == Join::kNever) return;
    symbols[best].size += symbols[best + 1].size;
    symbols[best].token = joins[best].token;
    const auto at = static_cast<std::ptrdiff_t>(best + 1);
    symbols.erase(symbols.begin() + at);
    joins.erase(joins.begin() + at);
    update(best);
    if (best > 0) update(best - 1);
  }
}

template <class Joined>
void merge_long(std::vector<Symbol>& symbols, const Joined& joined) {
  constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();
  const auto count = static_cast<std::uint32_t>(symbols.size());
  std::vector<std::uint32_t> next(count), previous(count);
  std::vector<Join> joins(count);
  BucketQueue queue;
  const auto update = [&](std::uint32_t i) {
    joins[i] = next[i] == kEnd ? Join{} : joined(symbols[i], symbols[next[i]]);
    if (joins[i].priority != Join::kNever) queue.push(joins[i].priority, i);
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1 < count ? i + 1 : kEnd;
    previous[i] = i > 0 ? i - 1 : kEnd;
  }
  for (std::uint32_t i = 0; i < count; ++i) update(i);
  while (!queue.empty()) {
    const auto [priority, left] = queue.pop();
    if (symbols[left].size == 0 || joins[left].priority != priority) continue;  // joined or changed since
    const std::uint32_t right = next[left];
    symbols[left].size += symbols[right].size;
    symbols[left].token = joins[left].token;
    symbols[right].size = 0;
    next[left] = next[right];
    if (next[left] != kEnd) previous[next[left]] = left;
    update(left);
    if (previous[left] != kEnd) update(previous[left]);
  }
  symbols.erase(std::remove_if(symbols.begin(), symbols.end(), [](const Symbol& s) { return s.size == 0; }),
                symbols.end());
}

struct MergeBuffers {
  std::vector<Symbol> symbols;
  std::vector<Join> joins;
};

template <class Joined>
void merge(MergeBuffers& buffers, const Joined& joined) {
  constexpr std::size_t kShort = 96;
  if (buffers.symbols.size() <= kShort) {
    merge_short(buffers.symbols, joined, buffers.joins);
  } else {
    merge_long(buffers.symbols, joined);
  }
}

}  // namespace maestrale::text
