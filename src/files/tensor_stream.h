// Streams one tensor into a sink: rows are reordered, dequantised and rounded into the new type a few
// megabytes at a time, on all threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/threads.h"
#include "files/row_source.h"
#include "files/tensor_sink.h"
#include "tensor/view.h"

namespace maestrale::files {

// How the rows of q and k stand: rope pairs side by side (GGUF's llama, Meta) or in two halves (HF).
enum class RowOrder { kKeep, kHalvesToPairs, kPairsToHalves };

// Row `row` of the target is this one of the source.
std::int64_t source_row(RowOrder order, std::int64_t head_size, std::int64_t row);

struct TensorJob {
  TensorDeclaration target;
  const TensorView* source = nullptr;
  RowOrder order = RowOrder::kKeep;
  std::int64_t head_size = 0;          // rows of one head, where the order changes
  const TensorView* scales = nullptr;  // f32, one per group of the flattened source (llama2.c version 2)
  std::int64_t group = 0;
  const float* importance = nullptr;  // one per column
  std::vector<float> values;          // in place of `source`: computed, f32
  // In place of `source`: rows put together from `reads`.
  std::optional<RowSource> rows;
  std::vector<const TensorView*> reads;

  std::uint64_t elements() const;
  bool is_computed() const { return source == nullptr && !rows; }
};

// Whether the types can be converted at all, before anything is written.
Status check_job(const TensorJob& job);
Status stream_tensor(const TensorJob& job, ThreadPool& pool, TensorSink& sink);

}  // namespace maestrale::files
