#include "ops/experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "kernels/dispatch.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::ops {
namespace {

constexpr std::int64_t kHidden = 96, kFfn = 160, kTokens = 37;
constexpr RouterOptions kRouter{.experts = 9, .chosen = 3, .renormalise = true};

std::vector<float> gaussian(std::uint64_t seed, std::int64_t n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform(seed, 0, i)));
    values[i] = static_cast<float>(radius * std::cos(2 * M_PI * uniform(seed, 1, i)));
  }
  return values;
}

// [rows, columns] as stored, and the values that the stored form stands for.
struct Matrix {
  Matrix(DType dtype, std::uint64_t seed, std::int64_t rows, std::int64_t columns)
      : values(gaussian(seed, rows * columns)) {
    const FormatTraits& format = traits(dtype);
    for (float& value : values) value /= std::sqrt(static_cast<float>(columns));
    bytes.resize(*storage_bytes(dtype, rows * columns));
    format.quantise(values.data(), nullptr, bytes.data(), rows * columns);
    format.dequantise(bytes.data(), values.data(), rows * columns);
    view = {.name = "test", .dtype = dtype, .shape = {rows, columns}, .data = bytes};
  }
  std::vector<float> values;
  std::vector<std::byte> bytes;
  TensorView view;
};

// The weights of all experts, as a file would hold them.
struct Weights {
  explicit Weights(DType dtype) {
    for (std::uint64_t expert = 0; expert < kRouter.experts; ++expert) {
      gate.emplace_back(dtype, 10 + expert, kFfn, kHidden);
      up.emplace_back(dtype, 30 + expert, kFfn, kHidden);
      down.emplace_back(dtype, 50 + expert, kHidden, kFfn);
    }
  }
  std::vector<Matrix> gate, up, down;
};

struct Variant {
  Activation activation = Activation::kSilu;
  bool biases = false, weigh_input = false;
};

// A device with the experts, and what it was asked to pack.
struct Device {
  Device(const Weights& weights, const Variant& variant, std::string_view isa, int threads)
      : ops(std::move(make_cpu_ops(isa, threads)).value()), packed(kRouter.experts, 0) {
    std::size_t bytes = 0;
    for (const auto* matrices : {&weights.gate, &weights.up, &weights.down}) {
      for (const Matrix& matrix : *matrices) {
        bytes += *ops->packed_bytes(matrix.view.dtype, matrix.view.rows(), matrix.view.columns());
      }
    }
    EXPECT_TRUE(ops->reserve_weights(bytes).ok());
    EXPECT_TRUE(ops->reserve_scratch(kTokens, kFfn).ok());
    set.hidden_size = kHidden;
    set.ffn_size = kFfn;
    set.activation = variant.activation;
    set.clamp = 1.5f;
    set.weigh_input = variant.weigh_input;
    for (std::size_t expert = 0; expert < packed.size(); ++expert) {
      const auto count = [this, expert] { ++packed[expert]; };
      set.gate.push_back(*ops->pack_later({.matrix = weights.gate[expert].view, .done = count}));
      set.up.push_back(*ops->pack_later({.matrix = weights.up[expert].view, .done = count}));
      set.down.push_back(*ops->pack_later({.matrix = weights.down[expert].view, .done = count}));
    }
    if (!variant.biases) return;
    set.gate_bias = gaussian(71, kRouter.experts * kFfn);
    set.up_bias = gaussian(72, kRouter.experts * kFfn);
    set.down_bias = gaussian(73, kRouter.experts * kHidden);
  }

  // Tokens [first, last) of x with the routing of their logits; the residual is x itself.
  std::vector<float> run(const std::vector<float>& x, const std::vector<float>& logits, std::int64_t first,
                         std::int64_t last) {
    const std::int64_t rows = last - first;
    std::vector<std::int32_t> experts(static_cast<std::size_t>(rows * kRouter.chosen));
    std::vector<float> gates(experts.size());
    ops->route(logits.data() + first * kRouter.experts, nullptr, rows, kRouter, {experts, gates});
    std::vector<float> out(x.begin() + first * kHidden, x.begin() + last * kHidden);
    std::vector<std::byte> workspace(experts_workspace(rows, kRouter, kHidden, kFfn) + 64);
    auto* aligned =
        reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(workspace.data()) + 63) / 64 * 64);
    ops->experts(x.data() + first * kHidden, rows, set, {experts, gates}, {aligned, workspace.size() - 64},
                 out.data(), out.data());
    return out;
  }

  std::unique_ptr<Ops> ops;
  ExpertSet set;
  std::vector<int> packed;
};

double activated(const Variant& variant, double gate, double up) {
  if (variant.activation == Activation::kSilu) return gate / (1 + std::exp(-gate)) * up;
  if (variant.activation == Activation::kGeluTanh) {
    return 0.5 * gate * (1 + std::tanh(std::sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate))) * up;
  }
  const double clamped = std::min(gate, 1.5);
  return clamped / (1 + std::exp(-1.702 * clamped)) * (std::clamp(up, -1.5, 1.5) + 1);
}

double dot(const Matrix& matrix, std::int64_t row, const std::vector<double>& x) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum += static_cast<double>(matrix.values[static_cast<std::size_t>(row) * x.size() + i]) * x[i];
  }
  return sum;
}

// The sum over one token's choices in double, with the residual.
std::vector<double> truth(const Weights& weights, const Device& device, const Variant& variant,
                          const float* x, const float* logits) {
  std::vector<std::int32_t> experts(kRouter.chosen);
  std::vector<float> gates(kRouter.chosen);
  route_token(kRouter, logits, nullptr, experts.data(), gates.data());
  std::vector<double> out(x, x + kHidden);
  for (std::size_t k = 0; k < experts.size(); ++k) {
    const auto e = static_cast<std::size_t>(experts[k]);
    std::vector<double> in(x, x + kHidden), inner(kFfn);
    if (variant.weigh_input) {
      for (double& value : in) value *= gates[k];
    }
    for (std::int64_t row = 0; row < kFfn; ++row) {
      const auto at = e * kFfn + static_cast<std::size_t>(row);
      const double gate = dot(weights.gate[e], row, in) + (variant.biases ? device.set.gate_bias[at] : 0);
      const double up = dot(weights.up[e], row, in) + (variant.biases ? device.set.up_bias[at] : 0);
      inner[static_cast<std::size_t>(row)] = activated(variant, gate, up);
    }
    for (std::int64_t row = 0; row < kHidden; ++row) {
      const auto at = static_cast<std::size_t>(row);
      const double y =
          dot(weights.down[e], row, inner) + (variant.biases ? device.set.down_bias[e * kHidden + at] : 0);
      out[at] += variant.weigh_input ? y : gates[k] * y;
    }
  }
  return out;
}

const std::vector<float>& inputs() {
  static const std::vector<float> x = gaussian(1, kTokens * kHidden);
  return x;
}
const std::vector<float>& router_logits() {
  static const std::vector<float> logits = gaussian(2, kTokens * kRouter.experts);
  return logits;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

const Variant kVariants[] = {{},
                             {.activation = Activation::kGeluTanh},
                             {.activation = Activation::kClampedSwiglu, .biases = true},
                             {.weigh_input = true}};

class Experts : public testing::TestWithParam<DType> {};

// Activations of eight bits are off by 1/254 of a block's largest at most; the error of a sum of n such terms
// grows with √n, as the sum itself does.
TEST_P(Experts, AgreeWithDoublePrecision) {
  const Weights weights(GetParam());
  const double tolerance = kernels::panel_layout(GetParam()) == nullptr ? 2e-5 : 6e-2;
  for (const Variant& variant : kVariants) {
    Device device(weights, variant, {}, 2);
    const std::vector<float> out = device.run(inputs(), router_logits(), 0, kTokens);
    for (std::int64_t token = 0; token < kTokens; ++token) {
      const std::vector<double> expected = truth(weights, device, variant, inputs().data() + token * kHidden,
                                                 router_logits().data() + token * kRouter.experts);
      for (std::size_t i = 0; i < kHidden; ++i) {
        ASSERT_NEAR(out[static_cast<std::size_t>(token) * kHidden + i], expected[i], tolerance)
            << token << " " << i;
      }
    }
  }
}

TEST_P(Experts, GiveTheSameBitsForEveryBatchThreadCountAndInstructionSet) {
  const Weights weights(GetParam());
  for (const Variant& variant : kVariants) {
    Device device(weights, variant, "ref", 1);
    const std::vector<float> whole = device.run(inputs(), router_logits(), 0, kTokens);
    std::vector<float> pieces;
    for (const auto& [first, last] : {std::pair{0, 1}, {1, 8}, {8, 9}, {9, 37}}) {
      const std::vector<float> piece = device.run(inputs(), router_logits(), first, last);
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    EXPECT_TRUE(same_bits(whole, pieces));
    for (const kernels::KernelTable* table : kernels::usable_tables()) {
      Device other(weights, variant, table->name, 3);
      EXPECT_TRUE(same_bits(whole, other.run(inputs(), router_logits(), 0, kTokens))) << table->name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Experts,
                         testing::Values(DType::kF32, DType::kBF16, DType::kQ8_0, DType::kMXFP4),
                         [](const auto& info) { return std::string(traits(info.param).name); });

TEST(LazyExperts, ArePackedOnceAndOnlyWhenATokenChoosesThem) {
  const Weights weights(DType::kF32);
  Device device(weights, {}, {}, 2);
  EXPECT_EQ(device.packed, std::vector<int>(kRouter.experts, 0));
  const std::vector<float> logits = {0, 0, 9, 0, 0, 8, 0, 7, 0};
  const std::vector<int> expected = {0, 0, 3, 0, 0, 3, 0, 3, 0};  // gate, up and down
  device.run(inputs(), logits, 0, 1);
  EXPECT_EQ(device.packed, expected);
  device.run(inputs(), logits, 0, 1);
  EXPECT_EQ(device.packed, expected);
}

TEST(LazyExperts, MayMakeTheirRows) {
  const Matrix matrix(DType::kF32, 3, 40, kHidden);
  auto ops = std::move(make_cpu_ops({}, 2)).value();
  ASSERT_TRUE(ops->reserve_weights(2 * *ops->packed_bytes(DType::kF32, 40, kHidden)).ok());
  LazyWeight* made = *ops->pack_later(
      {.matrix = {.name = "made", .dtype = DType::kF32, .shape = {40, kHidden}, .data = {}},
       .read_rows = [&](std::int64_t first, std::int64_t count, std::byte* out) {
         std::memcpy(out, matrix.view.row(first), static_cast<std::size_t>(count) * matrix.view.row_bytes());
       }});
  LazyWeight* stored = *ops->pack_later({.matrix = matrix.view});
  auto& cpu = dynamic_cast<CpuOps&>(*ops);
  cpu.pack_now(*made);
  cpu.pack_now(*stored);
  EXPECT_EQ(std::memcmp(made->weight.data, stored->weight.data, stored->weight.bytes), 0);
}

}  // namespace
}  // namespace maestrale::ops
