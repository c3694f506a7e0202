// Recurrent layers: a causal convolution per channel and Mamba-2's scan, one token after the other. Sums run
// over a channel's inputs in order, and over a state in 16 chains and a fixed tree. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/elementwise.h"
#include "kernels/recurrent_step.h"

namespace maestrale::kernels {

template <class V>
void conv_step(const ConvStep& step) {
  const std::int64_t stride = step.stride;
  for_lanes(step.channels, [&](std::int64_t i, int count) {
    const auto newest = load_lanes<V>(step.x + i, count);
    auto sum = load_lanes<V>(step.bias + i, count);
    for (int k = 0; k < step.width - 1; ++k) {
      float* past = step.state + k * stride + i;
      sum = V::fma(load_lanes<V>(step.weight + k * stride + i, count), load_lanes<V>(past, count), sum);
      const auto next = k + 2 < step.width ? load_lanes<V>(past + stride, count) : newest;
      store_lanes<V>(past, next, count);
    }
    sum = V::fma(load_lanes<V>(step.weight + (step.width - 1) * stride + i, count), newest, sum);
    const auto below = V::add(V::broadcast(1.0f), exponential<V>(V::sub(V::zero(), sum)));
    store_lanes<V>(step.out + i, V::div(sum, below), count);
  });
}

template <class V>
void scan_step(const ScanStep& step) {
  const auto decay = V::broadcast(step.decay);
  for (int p = 0; p < step.head_size; ++p) {
    const auto entering = V::broadcast(step.x[p] * step.step);
    float* state = step.state + static_cast<std::ptrdiff_t>(p) * step.state_size;
    auto sum = V::zero();
    for (int n = 0; n < step.state_size; n += 16) {
      const auto kept = V::mul(decay, V::load(state + n));
      const auto now = V::fma(entering, V::load(step.in + n), kept);
      V::store(state + n, now);
      sum = V::fma(now, V::load(step.result + n), sum);
    }
    step.out[p] = V::sum(sum) + step.skip * step.x[p];
  }
}

}  // namespace maestrale::kernels
