// Where keys and values stand inside a KV page (see ops/kv_cache.h); shared by the writer and the kernels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace maestrale::kernels {

constexpr int kPageTokens = 64;
constexpr int kLanes = 16;
constexpr int kKvScaleBlock = 32;  // head elements that share one Q8 scale

enum class KvType : std::uint8_t { kF32, kF16, kQ8 };

// Byte offsets within one (layer, KV head) part of a page.
struct KvHeadLayout {
  int head_size = 0;     // D
  int value_size = 0;    // DV: D rounded up to 16
  int scale_blocks = 0;  // Q8: ceil(D / 32)
  int key_quads = 0;     // Q8: ceil(D / 4)
  std::size_t key_scales = 0;
  std::size_t values = 0;
  std::size_t value_scales = 0;
  std::size_t bytes = 0;  // of the whole part, multiple of 64
};

inline KvHeadLayout kv_head_layout(KvType type, int head_size) {
  const auto element = static_cast<std::size_t>(type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1);
  KvHeadLayout layout;
  layout.head_size = head_size;
  layout.value_size = (head_size + kLanes - 1) / kLanes * kLanes;
  layout.scale_blocks = type == KvType::kQ8 ? (head_size + kKvScaleBlock - 1) / kKvScaleBlock : 0;
  layout.key_quads = type == KvType::kQ8 ? (head_size + 3) / 4 : 0;
  const int key_size = type == KvType::kQ8 ? layout.key_quads * 4 : head_size;
  const std::size_t scales = static_cast<std::size_t>(layout.scale_blocks) * kPageTokens * sizeof(float);
  layout.key_scales = static_cast<std::size_t>(key_size) * kPageTokens * element;
  layout.values = layout.key_scales + scales;
  layout.value_scales = layout.values + static_cast<std::size_t>(layout.value_size) * kPageTokens * element;
  layout.bytes = (layout.value_scales + scales + 63) / 64 * 64;
  return layout;
}

// Rows that stand one after the other, [kPageTokens][size]: what latent attention and its indexer keep. Q8
// codes are followed by their scales, f32 [kPageTokens][ceil(size / 32)].
struct KvRowsLayout {
  int size = 0;          // a multiple of 16
  int scale_blocks = 0;  // Q8: ceil(size / 32)
  std::size_t scales = 0;
  std::size_t bytes = 0;  // of one page, multiple of 64
};

inline KvRowsLayout kv_rows_layout(KvType type, int size) {
  const auto element = static_cast<std::size_t>(type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1);
  KvRowsLayout layout;
  layout.size = size;
  layout.scale_blocks = type == KvType::kQ8 ? (size + kKvScaleBlock - 1) / kKvScaleBlock : 0;
  layout.scales = static_cast<std::size_t>(size) * kPageTokens * element;
  layout.bytes = layout.scales + static_cast<std::size_t>(layout.scale_blocks) * kPageTokens * sizeof(float);
  return layout;
}

}  // namespace maestrale::kernels
