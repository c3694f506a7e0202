#include "files/tensor_stream.h"

#include <algorithm>
#include <cstring>

namespace maestrale::files {
namespace {

constexpr std::int64_t kChunkElements = std::int64_t{1} << 21;

// Rows that one task converts.
constexpr std::int64_t kRowsOfTask = 16;

// A tensor as rows to convert: a vector whose order changes counts as one column of single values.
struct Grid {
  std::int64_t rows = 0, columns = 0;
};

Grid grid_of(const TensorJob& job) {
  if (job.rows) return {job.rows->rows, job.rows->columns};
  const TensorView& source = *job.source;
  if (job.order != RowOrder::kKeep && source.shape.size() == 1) return {source.elements(), 1};
  return {source.rows(), source.columns()};
}

DType stored_type(const TensorJob& job) { return job.rows ? job.rows->dtype : job.source->dtype; }

void apply_scales(const TensorJob& job, std::int64_t first, float* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    float scale = 0;
    const std::int64_t group = (first + i) / job.group;
    std::memcpy(&scale, job.scales->data.data() + static_cast<std::size_t>(group) * sizeof(float),
                sizeof(float));
    values[i] *= scale;
  }
}

struct Scratch {
  std::vector<std::byte> rows;
  std::vector<float> values;
};

struct RowConverter {
  const TensorJob& job;
  Grid grid;
  std::size_t source_row_bytes, target_row_bytes;
  bool copies;  // the bytes of a row need no conversion

  // Rows [first, first + count) into `out`.
  void convert(std::int64_t first, std::int64_t count, Scratch& scratch, std::byte* out) const {
    if (!job.rows) {
      for (std::int64_t i = 0; i < count; ++i, out += target_row_bytes) {
        const std::int64_t from = source_row(job.order, job.head_size, first + i);
        const std::byte* in = job.source->data.data() + static_cast<std::size_t>(from) * source_row_bytes;
        convert_row(in, from, scratch.values, out);
      }
      return;
    }
    if (copies) return job.rows->read(first, count, out);
    scratch.rows.resize(static_cast<std::size_t>(count) * source_row_bytes);
    job.rows->read(first, count, scratch.rows.data());
    for (std::int64_t i = 0; i < count; ++i, out += target_row_bytes) {
      convert_row(scratch.rows.data() + static_cast<std::size_t>(i) * source_row_bytes, first + i,
                  scratch.values, out);
    }
  }

 private:
  void convert_row(const std::byte* in, std::int64_t from, std::vector<float>& values, std::byte* out) const {
    if (copies) {
      std::memcpy(out, in, source_row_bytes);
      return;
    }
    values.resize(static_cast<std::size_t>(grid.columns));
    const DType dtype = stored_type(job);
    if (dtype == DType::kI8) {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(static_cast<std::int8_t>(in[i]));
    } else {
      traits(dtype).dequantise(in, values.data(), grid.columns);
    }
    if (job.scales != nullptr) apply_scales(job, from * grid.columns, values.data(), grid.columns);
    traits(job.target.dtype).quantise(values.data(), job.importance, out, grid.columns);
  }
};

Result<std::size_t> row_bytes(DType dtype, std::int64_t columns) { return storage_bytes(dtype, columns); }

}  // namespace

std::int64_t source_row(RowOrder order, std::int64_t head_size, std::int64_t row) {
  if (order == RowOrder::kKeep) return row;
  const std::int64_t head = row / head_size, inside = row % head_size, half = head_size / 2;
  const std::int64_t moved = order == RowOrder::kHalvesToPairs ? (inside % 2) * half + inside / 2
                                                               : 2 * (inside % half) + inside / half;
  return head * head_size + moved;
}

std::uint64_t TensorJob::elements() const {
  std::uint64_t n = 1;
  for (const std::int64_t size : target.shape) n *= static_cast<std::uint64_t>(size);
  return n;
}

Status check_job(const TensorJob& job) {
  TRY(declared_bytes(job.target));
  if (job.is_computed()) return {};
  const DType stored = stored_type(job);
  const bool converts = stored != job.target.dtype || job.scales != nullptr;
  if (!converts) return {};
  const std::string& name = job.rows ? job.target.name : job.source->name;
  const Error cannot{
      .kind = ErrorKind::kUnsupported,
      .what = "this conversion is not supported",
      .where = "tensor '" + name + "'",
      .found = std::string(traits(stored).name) + " to " + std::string(traits(job.target.dtype).name)};
  const bool scaled_integers = stored == DType::kI8 && job.scales != nullptr;
  if (traits(job.target.dtype).quantise == nullptr) return cannot;
  return traits(stored).dequantise == nullptr && !scaled_integers ? Status(cannot) : Status();
}

Status stream_tensor(const TensorJob& job, ThreadPool& pool, TensorSink& sink) {
  if (job.is_computed()) return sink.append(std::as_bytes(std::span(job.values)));
  const DType stored = stored_type(job);
  const bool copies = stored == job.target.dtype && job.scales == nullptr;
  if (copies && !job.rows && job.order == RowOrder::kKeep) return sink.append(job.source->data);
  const Grid grid = grid_of(job);
  const RowConverter converter{job, grid, TRY(row_bytes(stored, grid.columns)),
                               TRY(row_bytes(job.target.dtype, grid.columns)), copies};
  const std::int64_t at_once =
      std::max<std::int64_t>(1, kChunkElements / std::max<std::int64_t>(1, grid.columns));
  std::vector<std::byte> out(static_cast<std::size_t>(std::min(at_once, grid.rows)) *
                             converter.target_row_bytes);
  std::vector<Scratch> scratch(static_cast<std::size_t>(pool.size()));
  for (std::int64_t begin = 0; begin < grid.rows; begin += at_once) {
    const std::int64_t count = std::min(at_once, grid.rows - begin);
    pool.run((count + kRowsOfTask - 1) / kRowsOfTask, [&](std::int64_t task, int worker) {
      const std::int64_t first = task * kRowsOfTask, n = std::min(kRowsOfTask, count - first);
      converter.convert(begin + first, n, scratch[static_cast<std::size_t>(worker)],
                        out.data() + static_cast<std::size_t>(first) * converter.target_row_bytes);
    });
    TRY(sink.append(std::span(out).first(static_cast<std::size_t>(count) * converter.target_row_bytes)));
  }
  return {};
}

}  // namespace maestrale::files
