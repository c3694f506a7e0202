// Norms and activations over one row, the same bits on every vector set V. Freestanding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace maestrale::kernels {

// e^x to about 1 ulp for x in [-87, 88]; below it is 0, above it stays at e^88. Cephes' polynomial (expf)
// after reduction by multiples of ln 2 in two parts.
template <class V>
[[gnu::always_inline]] inline typename V::F32 exponential(typename V::F32 x) {
  const auto low = V::broadcast(-87.0f);
  const auto clamped = V::min(V::max(x, low), V::broadcast(88.0f));
  const auto n = V::round_i32(V::mul(clamped, V::broadcast(1.44269504088896341f)));
  const auto whole = V::to_f32(n);
  auto r = V::fma(whole, V::broadcast(-0.693359375f), clamped);
  r = V::fma(whole, V::broadcast(2.12194440e-4f), r);
  auto p = V::broadcast(1.9875691500e-4f);
  p = V::fma(p, r, V::broadcast(1.3981999507e-3f));
  p = V::fma(p, r, V::broadcast(8.3334519073e-3f));
  p = V::fma(p, r, V::broadcast(4.1665795894e-2f));
  p = V::fma(p, r, V::broadcast(1.6666665459e-1f));
  p = V::fma(p, r, V::broadcast(5.0000001201e-1f));
  const auto fraction = V::add(V::fma(p, V::mul(r, r), r), V::broadcast(1.0f));
  const auto value = V::as_f32(V::iadd(V::as_i32(fraction), V::template shift_left<23>(n)));
  return V::select_less(x, low, V::zero(), value);
}

// Calls body(offset, count) for pieces of at most 16 elements; all but the last are whole.
template <class Body>
[[gnu::always_inline]] inline void for_lanes(std::int64_t n, Body body) {
  constexpr std::int64_t kWidth = 16;
  std::int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) body(i, static_cast<int>(kWidth));
  if (i < n) body(i, static_cast<int>(n - i));
}

template <class V>
[[gnu::always_inline]] inline typename V::F32 load_lanes(const float* p, int count) {
  return count == 16 ? V::load(p) : V::load_part(p, count);
}

template <class V>
[[gnu::always_inline]] inline void store_lanes(float* p, typename V::F32 a, int count) {
  if (count == 16) {
    V::store(p, a);
  } else {
    V::store_part(p, a, count);
  }
}

// out = x / sqrt(mean(x²) + eps) · weight; the squares are summed in 16 lanes and a fixed tree.
template <class V>
void rms_norm(const float* x, const float* weight, float eps, std::int64_t n, float* out) {
  auto squares = V::zero();
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto value = load_lanes<V>(x + i, count);
    squares = V::fma(value, value, squares);
  });
  const float mean = V::sum(squares) / static_cast<float>(n);
  const auto inverse = V::div(V::broadcast(1.0f), V::sqrt(V::broadcast(mean + eps)));
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto normed = V::mul(load_lanes<V>(x + i, count), inverse);
    store_lanes<V>(out + i, V::mul(normed, load_lanes<V>(weight + i, count)), count);
  });
}

// out = (x - mean) / sqrt(mean((x - mean)²) + eps) · weight + bias.
template <class V>
void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::int64_t n,
                float* out) {
  auto total = V::zero();
  for_lanes(n, [&](std::int64_t i, int count) { total = V::add(total, load_lanes<V>(x + i, count)); });
  const auto mean = V::broadcast(V::sum(total) / static_cast<float>(n));
  auto squares = V::zero();
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto value = V::sub(load_lanes<V>(x + i, count), mean);
    store_lanes<V>(out + i, value, count);
    const auto kept = load_lanes<V>(out + i, count);  // lanes beyond the end are 0 again
    squares = V::fma(kept, kept, squares);
  });
  const float variance = V::sum(squares) / static_cast<float>(n);
  const auto inverse = V::div(V::broadcast(1.0f), V::sqrt(V::broadcast(variance + eps)));
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto normed = V::mul(load_lanes<V>(out + i, count), inverse);
    store_lanes<V>(out + i, V::fma(normed, load_lanes<V>(weight + i, count), load_lanes<V>(bias + i, count)),
                   count);
  });
}

// out = gate / (1 + e^-gate) · up.
template <class V>
void silu_multiply(const float* gate, const float* up, std::int64_t n, float* out) {
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto x = load_lanes<V>(gate + i, count);
    const auto below = V::add(V::broadcast(1.0f), exponential<V>(V::sub(V::zero(), x)));
    store_lanes<V>(out + i, V::mul(V::div(x, below), load_lanes<V>(up + i, count)), count);
  });
}

// out = gelu(gate) · up with gelu(x) = x / 2 · (1 + tanh(u)) = x / (1 + e^-2u), u = √(2/π) (x + 0.044715 x³).
template <class V>
void gelu_multiply(const float* gate, const float* up, std::int64_t n, float* out) {
  constexpr float kLinear = 2 * 0.7978845608028654f;
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto x = load_lanes<V>(gate + i, count);
    const auto cubic = V::fma(V::mul(x, x), V::broadcast(kLinear * 0.044715f), V::broadcast(kLinear));
    const auto below = V::add(V::broadcast(1.0f), exponential<V>(V::sub(V::zero(), V::mul(x, cubic))));
    store_lanes<V>(out + i, V::mul(V::div(x, below), load_lanes<V>(up + i, count)), count);
  });
}

// gelu(x) = x · Φ(x) = x / 2 · erfc(-x / √2), to about 1e-6 of its value. erfc(z) = e^-z² · t · p(t) with
// t = 1 / (1 + z / 2) for z ≥ 0: p is our own fit in Chebyshev nodes of t.
template <class V>
[[gnu::always_inline]] inline typename V::F32 exact_gelu(typename V::F32 x) {
  const auto one = V::broadcast(1.0f);
  const auto z = V::mul(V::abs(x), V::broadcast(0.70710678118654752f));
  const auto t = V::div(one, V::fma(z, V::broadcast(0.5f), one));
  auto p = V::broadcast(-5.994149402e-2f);
  p = V::fma(p, t, V::broadcast(2.886475178e-1f));
  p = V::fma(p, t, V::broadcast(-4.952147820e-1f));
  p = V::fma(p, t, V::broadcast(2.867156585e-1f));
  p = V::fma(p, t, V::broadcast(-3.219478170e-2f));
  p = V::fma(p, t, V::broadcast(2.048667866e-1f));
  p = V::fma(p, t, V::broadcast(2.425999561e-1f));
  p = V::fma(p, t, V::broadcast(2.824378528e-1f));
  p = V::fma(p, t, V::broadcast(2.820832364e-1f));
  const auto tail = V::mul(V::mul(p, t), exponential<V>(V::sub(V::zero(), V::mul(z, z))));  // erfc(z)
  const auto half = V::mul(V::broadcast(0.5f), tail);
  return V::mul(x, V::select_less(x, V::zero(), half, V::sub(one, half)));
}

// out = gelu(gate) · up with the exact gelu.
template <class V>
void exact_gelu_multiply(const float* gate, const float* up, std::int64_t n, float* out) {
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto value = exact_gelu<V>(load_lanes<V>(gate + i, count));
    store_lanes<V>(out + i, V::mul(value, load_lanes<V>(up + i, count)), count);
  });
}

// out = g / (1 + e^-1.702g) · (u + 1) with g = min(gate, clamp), u = up held to [-clamp, clamp] (gpt-oss).
template <class V>
void clamped_swiglu(const float* gate, const float* up, float clamp, std::int64_t n, float* out) {
  const auto most = V::broadcast(clamp);
  const auto least = V::broadcast(-clamp);
  const auto one = V::broadcast(1.0f);
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto g = V::min(load_lanes<V>(gate + i, count), most);
    const auto u = V::max(V::min(load_lanes<V>(up + i, count), most), least);
    const auto below = V::add(one, exponential<V>(V::mul(g, V::broadcast(-1.702f))));
    store_lanes<V>(out + i, V::mul(V::div(g, below), V::add(u, one)), count);
  });
}

// tanh(x) to about 1 ulp: Cephes' polynomial (tanhf) near 0, 1 - 2 / (e^2|x| + 1) elsewhere.
template <class V>
[[gnu::always_inline]] inline typename V::F32 hyperbolic_tangent(typename V::F32 x) {
  const auto size = V::abs(x);
  const auto square = V::mul(x, x);
  auto p = V::broadcast(-5.70498872745e-3f);
  p = V::fma(p, square, V::broadcast(2.06390887954e-2f));
  p = V::fma(p, square, V::broadcast(-5.37397155531e-2f));
  p = V::fma(p, square, V::broadcast(1.33314422036e-1f));
  p = V::fma(p, square, V::broadcast(-3.33332819422e-1f));
  const auto small = V::fma(V::mul(p, square), x, x);
  const auto one = V::broadcast(1.0f);
  const auto power = exponential<V>(V::add(size, size));
  const auto large = V::sub(one, V::div(V::broadcast(2.0f), V::add(power, one)));
  const auto signed_large = V::select_less(x, V::zero(), V::sub(V::zero(), large), large);
  return V::select_less(size, V::broadcast(0.625f), small, signed_large);
}

// x = cap · tanh(x / cap).
template <class V>
void soft_cap(float* x, std::int64_t n, float cap) {
  for_lanes(n, [&](std::int64_t i, int count) {
    const auto ratio = V::div(load_lanes<V>(x + i, count), V::broadcast(cap));
    store_lanes<V>(x + i, V::mul(hyperbolic_tangent<V>(ratio), V::broadcast(cap)), count);
  });
}

// to += x.
template <class V>
void add_to(const float* x, std::int64_t n, float* to) {
  for_lanes(n, [&](std::int64_t i, int count) {
    store_lanes<V>(to + i, V::add(load_lanes<V>(to + i, count), load_lanes<V>(x + i, count)), count);
  });
}

}  // namespace maestrale::kernels
