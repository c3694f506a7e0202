// MemoryPlan: what a model will take, computed before any of it is taken.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace maestrale::engine {

struct MemoryPlan {
  std::uint64_t weights = 0;    // packed for the instruction set, in memory of our own
  std::uint64_t kv_cache = 0;   // `kv_pages` pages, and the states of recurrent layers
  std::uint64_t workspace = 0;  // activations of the largest batch, logits, per-thread scratch
  std::uint64_t base = 0;       // the program itself, tokenizer, tables
  std::int64_t context = 0;
  int sequences = 1;
  std::int64_t kv_pages = 0;  // of ops::kPageTokens positions, for all sequences together
  std::string kv_type;
  std::uint64_t kv_bytes_per_token = 0;

  // Sequences share fewer or more pages than each would need for a whole context.
  bool is_shared_pool() const;
  std::uint64_t total() const { return weights + kv_cache + workspace + base; }
  // "weights 3.86 GB + KV 0.54 GB (4096 × 1, f16) + workspace 0.11 GB + base 0.02 GB = 4.53 GB"
  std::string render() const;
  // kResource with the three ways out (context, KV type, format) where total() exceeds the budget.
  Status check(std::uint64_t budget) const;
};

std::string human_bytes(std::uint64_t bytes);  // "4.53 GB" (1e9)

}  // namespace maestrale::engine
