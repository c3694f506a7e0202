#include "ops/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/dispatch.h"

namespace maestrale::ops {

void CpuOps::for_rows(std::int64_t rows, const std::function<void(std::int64_t)>& body) {
  if (rows == 1) {
    body(0);
    return;
  }
  pool_.run(rows, [&body](std::int64_t row, int) { body(row); });
}

void CpuOps::embed(const TensorView& table, std::span<const std::int32_t> tokens, float scale, float* out) {
  const FormatTraits& format = traits(table.dtype);
  for_rows(static_cast<std::int64_t>(tokens.size()), [&](std::int64_t i) {
    float* row = out + i * table.columns();
    format.dequantise(table.row(tokens[static_cast<std::size_t>(i)]), row, table.columns());
    if (scale == 1) return;
    for (std::int64_t column = 0; column < table.columns(); ++column) row[column] *= scale;
  });
}

void CpuOps::rms_norm(const float* x, const float* weight, float eps, std::int64_t rows, std::int64_t columns,
                      float* out) {
  for_rows(rows, [&](std::int64_t row) {
    table_.rms_norm(x + row * columns, weight, eps, columns, out + row * columns);
  });
}

void CpuOps::layer_norm(const float* x, const float* weight, const float* bias, float eps, std::int64_t rows,
                        std::int64_t columns, float* out) {
  for_rows(rows, [&](std::int64_t row) {
    table_.layer_norm(x + row * columns, weight, bias, eps, columns, out + row * columns);
  });
}

void CpuOps::gated(Activation activation, const float* gate, const float* up, std::int64_t rows,
                   std::int64_t columns, float* out) {
  if (up == nullptr && static_cast<std::int64_t>(ones_.size()) < columns)
    ones_.assign(static_cast<std::size_t>(columns), 1.0f);
  for_rows(rows, [&](std::int64_t row) {
    const float* factor = up == nullptr ? ones_.data() : up + row * columns;
    gate_row(activation, 0, gate + row * columns, factor, columns, out + row * columns);
  });
}

void CpuOps::soft_cap(float* x, std::int64_t rows, std::int64_t columns, float cap) {
  for_rows(rows, [&](std::int64_t row) { table_.soft_cap(x + row * columns, columns, cap); });
}

void CpuOps::add(const float* x, std::int64_t rows, std::int64_t columns, float* to) {
  for_rows(rows, [&](std::int64_t row) { table_.add_to(x + row * columns, columns, to + row * columns); });
}

void CpuOps::rope(float* x, std::int64_t row_stride, int heads, int head_size,
                  std::span<const std::int32_t> positions, const RopeTable& table,
                  std::span<const float> row_scale) {
  const auto half = static_cast<std::int64_t>(table.inverse_frequencies.size());
  const std::int64_t step = table.pairing == RopePairing::kHalf ? 1 : 2;
  const std::int64_t partner = table.pairing == RopePairing::kHalf ? half : 1;
  for_rows(static_cast<std::int64_t>(positions.size()), [&](std::int64_t row) {
    const auto index = static_cast<std::size_t>(row);
    const float scale = row_scale.empty() ? 1.0f : row_scale[index];
    float* vectors = x + row * row_stride;
    for (std::int64_t i = 0; i < half; ++i) {
      // The angle is a product of floats, as the reference implementations compute it; its sine is exact
      // enough.
      const float angle =
          static_cast<float>(positions[index]) * table.inverse_frequencies[static_cast<std::size_t>(i)];
      const float cosine = static_cast<float>(std::cos(static_cast<double>(angle))) * table.magnitude;
      const float sine = static_cast<float>(std::sin(static_cast<double>(angle))) * table.magnitude;
      for (int head = 0; head < heads; ++head) {
        float& a = vectors[std::int64_t{head} * head_size + i * step];
        float& b = vectors[std::int64_t{head} * head_size + i * step + partner];
        const float rotated = a * cosine - b * sine;
        b = (b * cosine + a * sine) * scale;
        a = rotated * scale;
      }
    }
  });
}

std::size_t CpuOps::worker_scratch_bytes() const {
  constexpr std::size_t kTile = kernels::kMaxTileRows;
  constexpr std::size_t kHead = kMaxHeadSize;
  const std::size_t attention = kTile * (2 * kHead + 5) * sizeof(float) +
                                kernels::tile_scratch_bytes(kMaxHeadSize);  // with queries and outputs
  return (std::max(attention, table_.matmul_scratch_bytes + kGatherBytes) + 4095) / 4096 * 4096;
}

std::byte* CpuOps::worker_scratch(int worker) const {
  return scratch_.data() + activation_room_ + static_cast<std::size_t>(worker) * worker_scratch_bytes();
}

std::size_t CpuOps::scratch_bytes(std::int64_t rows, std::int64_t columns) const {
  const std::int64_t padded = (columns + 31) / 32 * 32;
  const std::size_t activations = kernels::activation_bytes(padded) * static_cast<std::size_t>(rows);
  return (activations + 4095) / 4096 * 4096 + worker_scratch_bytes() * static_cast<std::size_t>(pool_.size());
}

Status CpuOps::reserve_scratch(std::int64_t rows, std::int64_t columns) {
  const std::size_t bytes = scratch_bytes(rows, columns);
  scratch_ = TRY(HugeBuffer::allocate(bytes));
  TRY(scratch_.populate());
  activation_room_ = bytes - worker_scratch_bytes() * static_cast<std::size_t>(pool_.size());
  attention_work_.reserve(static_cast<std::size_t>(rows));
  return {};
}

Result<std::unique_ptr<Ops>> make_cpu_ops(std::string_view isa, int threads, Arithmetic arithmetic) {
  const kernels::KernelTable* table = nullptr;
  if (isa.empty()) {
    table = TRY(kernels::default_table());
  } else {
    table = kernels::kernel_table(isa);
  }
  if (table == nullptr) {
    std::string names;
    for (const kernels::KernelTable* usable : kernels::usable_tables())
      names += " " + std::string(usable->name);
    return Error{.kind = ErrorKind::kUsage,
                 .what = "no instruction set '" + std::string(isa) + "' on this machine",
                 .expected = "one of:" + names};
  }
  if (threads < 1 || threads > ThreadPool::kMaxThreads) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "thread count out of range",
                 .expected = "1 … " + std::to_string(ThreadPool::kMaxThreads),
                 .found = std::to_string(threads)};
  }
  return std::unique_ptr<Ops>(std::make_unique<CpuOps>(*table, threads, arithmetic));
}

}  // namespace maestrale::ops
