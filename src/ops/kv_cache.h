// KvCache: keys and values of many sequences in fixed pages of kPageTokens tokens, from one pool that is
// allocated whole before the first token. Layout of one page for one layer and one KV head (D = head size,
// DV = D rounded up to 16):
//   keys    F32/F16: [kPageTokens/16][D][16]     16 keys side by side, so a score is one chain over D
//           Q8:      [kPageTokens/16][D][16] i8, then scales f32 [kPageTokens/16][ceil(D/32)][16]
//   values  F32/F16: [kPageTokens][DV]           a row per token, so an output is one chain over tokens
//           Q8:      [kPageTokens][DV] i8, then scales f32 [kPageTokens][ceil(DV/32)]
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "base/result.h"
#include "kernels/attention_layout.h"

namespace maestrale::ops {

using kernels::kPageTokens;
using kernels::KvType;

std::string_view kv_type_name(KvType type);
std::optional<KvType> kv_type_from_name(std::string_view name);

struct KvShape {
  int layers = 0;
  int kv_heads = 0;
  int head_size = 0;
  KvType type = KvType::kF16;

  kernels::KvHeadLayout head() const { return kernels::kv_head_layout(type, head_size); }
  std::size_t layer_bytes() const { return head().bytes * static_cast<std::size_t>(kv_heads); }
  std::size_t page_bytes() const { return layer_bytes() * static_cast<std::size_t>(layers); }
  // Whole pages that `tokens` positions of one sequence take.
  static std::int64_t pages_for(std::int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }
};

class KvCache {
 public:
  static Result<KvCache> create(const KvShape& shape, std::int64_t pages);

  const KvShape& shape() const { return shape_; }
  std::int64_t free_pages() const { return static_cast<std::int64_t>(free_.size()); }
  std::int64_t total_pages() const { return total_; }

  int open_sequence();
  void close_sequence(int sequence);
  // Makes room for positions [0, tokens); kResource where the pool is exhausted (nothing is lost then).
  Status reserve(int sequence, std::int64_t tokens);
  // Forgets positions from `tokens` on; whole pages go back to the pool.
  void truncate(int sequence, std::int64_t tokens);
  std::span<std::byte* const> pages(int sequence) const;

 private:
  struct Sequence {
    bool open = false;
    std::vector<std::byte*> pages;
  };
  KvShape shape_;
  std::int64_t total_ = 0;
  HugeBuffer pool_;
  std::vector<std::byte*> free_;
  std::vector<Sequence> sequences_;
};

}  // namespace maestrale::ops
