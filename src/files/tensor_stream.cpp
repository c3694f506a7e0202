#include "files/tensor_stream.h"

#include <algorithm>
#include <cstring>

namespace maestrale::files {
namespace {

constexpr std::int64_t kChunkElements = std::int64_t{1} << 21;

// A tensor as rows to convert: a vector whose order changes counts as one column of single values.
struct Grid {
  std::int64_t rows = 0, columns = 0;
};

Grid grid_of(const TensorJob& job) {
  const TensorView& source = *job.source;
  if (job.order != RowOrder::kKeep && source.shape.size() == 1) return {source.elements(), 1};
  return {source.rows(), source.columns()};
}

// The source row that becomes row `row` of the target.
std::int64_t source_row(const TensorJob& job, std::int64_t row) {
  if (job.order == RowOrder::kKeep) return row;
  const std::int64_t head = row / job.head_size, inside = row % job.head_size, half = job.head_size / 2;
  const std::int64_t moved = job.order == RowOrder::kHalvesToPairs ? (inside % 2) * half + inside / 2
                                                                   : 2 * (inside % half) + inside / half;
  return head * job.head_size + moved;
}

void apply_scales(const TensorJob& job, std::int64_t first, float* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    float scale = 0;
    const std::int64_t group = (first + i) / job.group;
    std::memcpy(&scale, job.scales->data.data() + static_cast<std::size_t>(group) * sizeof(float),
                sizeof(float));
    values[i] *= scale;
  }
}

struct RowConverter {
  const TensorJob& job;
  Grid grid;
  std::size_t source_row_bytes, target_row_bytes;
  bool copies;  // the bytes of a row need no conversion

  void convert(std::int64_t row, std::vector<float>& scratch, std::byte* out) const {
    const std::int64_t from = source_row(job, row);
    const std::byte* in = job.source->data.data() + static_cast<std::size_t>(from) * source_row_bytes;
    if (copies) {
      std::memcpy(out, in, source_row_bytes);
      return;
    }
    scratch.resize(static_cast<std::size_t>(grid.columns));
    if (job.source->dtype == DType::kI8) {
      for (std::size_t i = 0; i < scratch.size(); ++i)
        scratch[i] = static_cast<float>(static_cast<std::int8_t>(in[i]));
    } else {
      traits(job.source->dtype).dequantise(in, scratch.data(), grid.columns);
    }
    if (job.scales != nullptr) apply_scales(job, from * grid.columns, scratch.data(), grid.columns);
    traits(job.target.dtype).quantise(scratch.data(), job.importance, out, grid.columns);
  }
};

Result<std::size_t> row_bytes(DType dtype, std::int64_t columns) { return storage_bytes(dtype, columns); }

}  // namespace

Status check_job(const TensorJob& job) {
  TRY(declared_bytes(job.target));
  if (job.source == nullptr) return {};
  const bool converts = job.source->dtype != job.target.dtype || job.scales != nullptr;
  if (!converts) return {};
  const Error cannot{.kind = ErrorKind::kUnsupported,
                     .what = "this conversion is not supported",
                     .where = "tensor '" + job.source->name + "'",
                     .found = std::string(traits(job.source->dtype).name) + " to " +
                              std::string(traits(job.target.dtype).name)};
  const bool scaled_integers = job.source->dtype == DType::kI8 && job.scales != nullptr;
  if (traits(job.target.dtype).quantise == nullptr) return cannot;
  return traits(job.source->dtype).dequantise == nullptr && !scaled_integers ? Status(cannot) : Status();
}

Status stream_tensor(const TensorJob& job, ThreadPool& pool, TensorSink& sink) {
  if (job.source == nullptr) return sink.append(std::as_bytes(std::span(job.values)));
  const bool copies = job.source->dtype == job.target.dtype && job.scales == nullptr;
  if (copies && job.order == RowOrder::kKeep) return sink.append(job.source->data);
  const Grid grid = grid_of(job);
  const RowConverter converter{job, grid, TRY(row_bytes(job.source->dtype, grid.columns)),
                               TRY(row_bytes(job.target.dtype, grid.columns)), copies};
  const std::int64_t at_once =
      std::max<std::int64_t>(1, kChunkElements / std::max<std::int64_t>(1, grid.columns));
  std::vector<std::byte> out(static_cast<std::size_t>(std::min(at_once, grid.rows)) *
                             converter.target_row_bytes);
  std::vector<std::vector<float>> scratch(static_cast<std::size_t>(pool.size()));
  for (std::int64_t begin = 0; begin < grid.rows; begin += at_once) {
    const std::int64_t count = std::min(at_once, grid.rows - begin);
    pool.run(count, [&](std::int64_t i, int worker) {
      converter.convert(begin + i, scratch[static_cast<std::size_t>(worker)],
                        out.data() + static_cast<std::size_t>(i) * converter.target_row_bytes);
    });
    TRY(sink.append(std::span(out).first(static_cast<std::size_t>(count) * converter.target_row_bytes)));
  }
  return {};
}

}  // namespace maestrale::files
