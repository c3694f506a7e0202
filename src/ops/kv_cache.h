// KvCache: keys and values of many sequences in fixed pages of kPageTokens tokens, from one pool that is
// allocated whole before the first token. Each layer and KV head has a plane of its own with its part of
// every page, so that the pages of a long sequence are one long read. Layout of such a part (D = head size,
// DV = D rounded up to 16):
//   keys    F32/F16: [kPageTokens/16][D][16]     16 keys side by side, so a score is one chain over D
//           Q8:      [kPageTokens/16][ceil(D/4)][16][4] u8, a code plus 128, then scales f32
//                    [kPageTokens/16][ceil(D/32)][16]
//   values  F32/F16: [kPageTokens][DV]           a row per token, so an output is one chain over tokens
//           Q8:      [kPageTokens/4][DV][4] i8, then scales f32 [ceil(D/32)][kPageTokens]
// Latent attention keeps one row per token instead, key and value at once, and beside it the indexer's key
// where the model has one (kernels::KvRowsLayout). Eight-bit rows of latent attention stand as keys of heads
// do, four elements of sixteen tokens together.
//
// Sequences may share pages: those that begin alike use the same ones, and a page may be held for sequences
// to come. Whoever writes into a page that others use, or that is held, gets a copy first.
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
#include "ops/recent_states.h"

namespace maestrale::ops {

using kernels::kPageTokens;
using kernels::KvType;

std::string_view kv_type_name(KvType type);
std::optional<KvType> kv_type_from_name(std::string_view name);

// What a recurrent layer remembers of a sequence, of one size however long it is: f32, for the convolution
// and then for the scan.
struct StateShape {
  std::int64_t conv = 0, scan = 0;  // floats of a layer
  std::int64_t layer() const { return conv + scan; }
};

enum class KvRows : std::uint8_t { kLatent, kIndex };

struct KvShape {
  int layers = 0;
  int kv_heads = 0;  // 0: no keys and values at all
  int head_size = 0;
  bool latent = false;    // one row of head_size per token and layer; kv_heads is 1
  int index_size = 0;     // latent: elements of the indexer's key; 0: none
  StateShape state = {};  // recurrent layers; all zero: none
  int recent_size = 0;    // floats of a token in RecentStates; 0: they are not kept
  KvType type = KvType::kF16;

  kernels::KvHeadLayout head() const { return kernels::kv_head_layout(type, head_size); }
  kernels::KvRowsLayout rows(KvRows which) const {
    return kernels::kv_rows_layout(type, which == KvRows::kLatent ? head_size : index_size);
  }
  std::size_t layer_bytes() const {
    if (latent) return rows(KvRows::kLatent).bytes + rows(KvRows::kIndex).bytes;
    return head().bytes * static_cast<std::size_t>(kv_heads);
  }
  // What a plane holds of a page: a KV head's part, or both kinds of rows.
  std::size_t part_bytes() const { return latent ? layer_bytes() : head().bytes; }
  // Of rows within their part.
  std::size_t rows_offset(KvRows which) const {
    return which == KvRows::kIndex ? rows(KvRows::kLatent).bytes : 0;
  }
  std::size_t state_bytes() const {  // of one sequence
    return static_cast<std::size_t>(state.layer()) * static_cast<std::size_t>(layers) * sizeof(float);
  }
  std::size_t recent_bytes() const {  // of one sequence
    return static_cast<std::size_t>(recent_size * kRecentStates) * sizeof(float);
  }
  std::size_t page_bytes() const { return layer_bytes() * static_cast<std::size_t>(layers); }
  // Whole pages that `tokens` positions of one sequence take.
  static std::int64_t pages_for(std::int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }
};

// Where one page stands: a part in each plane.
struct PageParts {
  std::byte* first = nullptr;
  std::size_t stride = 0;  // bytes from one plane's part to the next plane's
  std::int64_t planes = 0;
  std::size_t part_bytes = 0;

  std::size_t bytes() const { return static_cast<std::size_t>(planes) * part_bytes; }
  // bytes() of them, plane after plane.
  void copy_to(std::byte* out) const;
  void copy_from(const std::byte* in) const;
};

class KvCache {
 public:
  using Page = std::int32_t;  // 0 … total_pages() - 1

  // States are kept for sequences 0 … `sequences` - 1, where the shape has any.
  static Result<KvCache> create(const KvShape& shape, std::int64_t pages, std::int64_t sequences = 1);

  const KvShape& shape() const { return shape_; }
  std::int64_t free_pages() const { return static_cast<std::int64_t>(free_.size()); }
  std::int64_t total_pages() const { return total_; }
  std::int64_t idle_pages() const { return idle_; }  // held, and used by no sequence

  int open_sequence();
  void close_sequence(int sequence);
  // Makes room for positions [0, tokens); kResource where the pool is exhausted (nothing is lost then).
  Status reserve(int sequence, std::int64_t tokens);
  // Forgets positions from `tokens` on; whole pages go back to the pool. A state cannot go back in time:
  // unless it stands at `tokens` it begins again. Returns how many positions are kept.
  std::int64_t truncate(int sequence, std::int64_t tokens);

  // Makes room for writing positions [from, to), from at most the end of the sequence: as reserve(), and
  // pages of the range that others use or that are held are copied.
  Status reserve_to_write(int sequence, std::int64_t from, std::int64_t to);
  // Pages that reserve_to_write() would take from the pool.
  std::int64_t pages_to_write(int sequence, std::int64_t from, std::int64_t to) const;
  // A new sequence that begins as this one, positions [0, tokens), of which the state has seen all where
  // there is one: pages are shared, states copied. kResource where no state is left.
  Result<int> fork(int sequence, std::int64_t tokens);
  // Appends a page full of tokens that are computed already to a sequence of whole pages.
  void share(int sequence, Page page);
  // Puts a page of the same contents in the place of the sequence's own.
  void replace(int sequence, std::int64_t index, Page page);
  Page page(int sequence, std::int64_t index) const {
    return sequences_[static_cast<std::size_t>(sequence)].numbers[static_cast<std::size_t>(index)];
  }
  PageParts parts(Page page) const;
  // A held page keeps its contents when its last sequence leaves, until it is let go.
  void hold(Page page);
  void let_go(Page page);
  std::int64_t users(Page page) const { return users_[static_cast<std::size_t>(page)]; }  // sequences

  // The part of a page for one layer and KV head stands at pages(sequence)[page] + plane_offset(layer, head);
  // the rows of latent attention, whose only head is 0, shape().rows_offset(which) further.
  std::span<std::byte* const> pages(int sequence) const;
  std::size_t plane_offset(int layer, int kv_head) const {
    const auto plane = static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.kv_heads) +
                       static_cast<std::size_t>(kv_head);
    return plane * static_cast<std::size_t>(total_) * shape_.part_bytes();
  }
  // [shape.state.layer()] of one layer.
  float* state(int sequence, int layer);
  // Of the sequence's last tokens: kept in step by whoever writes them, forgotten with what is truncated.
  RecentStates& recent(int sequence) { return sequences_[static_cast<std::size_t>(sequence)].recent; }
  // Positions that the sequence's state has seen; advance() says that it has seen more.
  std::int64_t state_tokens(int sequence) const {
    return sequences_[static_cast<std::size_t>(sequence)].state_tokens;
  }
  void advance(int sequence, std::int64_t tokens) {
    sequences_[static_cast<std::size_t>(sequence)].state_tokens = tokens;
  }

 private:
  struct Sequence {
    bool open = false;
    std::vector<std::byte*> pages;
    std::vector<Page> numbers;  // of the same pages
    std::int64_t state_tokens = 0;
    RecentStates recent;
  };
  std::byte* address(Page page) const {
    return pool_.data() + static_cast<std::size_t>(page) * shape_.part_bytes();
  }
  bool is_shared(Page page) const {
    const auto index = static_cast<std::size_t>(page);
    return users_[index] > 1 || held_[index];
  }
  Error full(const Sequence& entry, std::int64_t tokens) const;
  Page take();
  void use(Page page);
  void leave(Page page);
  void copy(Page from, Page to);

  KvShape shape_;
  std::int64_t total_ = 0, idle_ = 0;
  HugeBuffer pool_;
  HugeBuffer states_;  // [sequences][layers][state.layer()]
  std::int64_t state_sequences_ = 0;
  std::vector<Page> free_;
  std::vector<std::int32_t> users_;  // [total_]
  std::vector<bool> held_;           // [total_]
  std::vector<Sequence> sequences_;
};

}  // namespace maestrale::ops
