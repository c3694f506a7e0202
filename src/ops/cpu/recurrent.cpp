// Recurrent layers: rows of a sequence one after the other, channels and heads shared out.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {
namespace {

// Adjacent rows of one sequence.
struct Run {
  std::int64_t first = 0, count = 0;
};

Run run_from(const BatchRows& rows, std::int64_t first) {
  const auto at = [&](std::int64_t row) { return rows.sequences[static_cast<std::size_t>(row)]; };
  Run run{first, 1};
  const auto total = static_cast<std::int64_t>(rows.sequences.size());
  while (first + run.count < total && at(first + run.count) == at(first)) ++run.count;
  return run;
}

// The state of the run's sequence; zeros where the sequence begins.
float* state_of(const BatchRows& rows, const Run& run, int layer, KvCache& cache, std::int64_t offset,
                std::int64_t size) {
  const auto first = static_cast<std::size_t>(run.first);
  float* state = cache.state(rows.sequences[first], layer) + offset;
  CHECK(rows.positions[first] == cache.state_tokens(rows.sequences[first]), "a state is moved on in order");
  if (rows.positions[first] == 0) std::fill_n(state, size, 0.0f);
  return state;
}

// ln(1 + e^x)
float softplus(float x) {
  const auto value = static_cast<double>(x);
  return static_cast<float>(value > 30 ? value : std::log1p(std::exp(value)));
}

}  // namespace

void CpuOps::causal_conv(const float* x, std::int64_t stride, const CausalConv& conv, int layer,
                         const BatchRows& rows, KvCache& cache, float* out) {
  constexpr std::int64_t kPiece = 256;
  const std::int64_t pieces = (conv.channels + kPiece - 1) / kPiece;
  const auto total = static_cast<std::int64_t>(rows.positions.size());
  for (Run run{0, 0}; run.first + run.count < total;) {
    run = run_from(rows, run.first + run.count);
    float* state = state_of(rows, run, layer, cache, 0, cache.shape().state.conv);
    pool_.run(pieces, [&](std::int64_t piece, int) {
      const std::int64_t begin = piece * kPiece;
      kernels::ConvStep step{.channels = std::min(kPiece, conv.channels - begin),
                             .width = conv.width,
                             .stride = conv.channels,
                             .weight = conv.weight.data() + begin,
                             .bias = conv.bias.data() + begin,
                             .state = state + begin};
      for (std::int64_t row = run.first; row < run.first + run.count; ++row) {
        step.x = x + row * stride + begin;
        step.out = out + row * conv.channels + begin;
        table_.conv_step(step);
      }
    });
  }
}

void CpuOps::scan(const Scan& scan, const ScanInputs& inputs, int layer, const BatchRows& rows,
                  KvCache& cache, float* out) {
  const StateShape& shape = cache.shape().state;
  const std::int64_t width = std::int64_t{scan.heads} * scan.head_size;
  const auto total = static_cast<std::int64_t>(rows.positions.size());
  for (Run run{0, 0}; run.first + run.count < total;) {
    run = run_from(rows, run.first + run.count);
    float* state = state_of(rows, run, layer, cache, shape.conv, shape.scan);
    pool_.run(scan.heads, [&](std::int64_t head, int) {
      const auto index = static_cast<std::size_t>(head);
      const std::int64_t group = head / (scan.heads / scan.groups);
      kernels::ScanStep step{
          .head_size = scan.head_size, .state_size = scan.state_size, .skip = scan.skip[index]};
      step.state = state + head * scan.head_size * scan.state_size;
      for (std::int64_t row = run.first; row < run.first + run.count; ++row) {
        const float* x = inputs.x + row * inputs.x_stride;
        step.step = softplus(inputs.step[row * inputs.step_stride + head] + scan.step_bias[index]);
        step.decay = static_cast<float>(
            std::exp(static_cast<double>(step.step) * static_cast<double>(scan.decay[index])));
        step.x = x + head * scan.head_size;
        step.in = x + width + group * scan.state_size;
        step.result = step.in + std::int64_t{scan.groups} * scan.state_size;
        step.out = out + row * width + head * scan.head_size;
        table_.scan_step(step);
      }
    });
  }
}

}  // namespace maestrale::ops
