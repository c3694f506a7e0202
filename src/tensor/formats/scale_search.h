// Least-squares search for blocks of 256 values in groups with a signed whole-number scale each (Q3_K, Q6_K,
// IQ4_XS): value = (d * scales[group]) * level(code), scales in [-scale_reach, scale_reach - 1].
#pragma once

#include <limits>

#include "tensor/formats/blocks.h"
#include "tensor/formats/search.h"

namespace maestrale {

struct ScaleBlock {
  BlockF16 d;
  int scales[16];
  std::uint8_t codes[256];
};

template <class Levels>
class ScaleBlockFit {
 public:
  ScaleBlockFit(const float* values, const float* importance, const Levels& levels, int group_size,
                int scale_reach)
      : levels_(levels), group_size_(group_size), scale_reach_(scale_reach) {
    load_values(values, 256, x_);
    load_weights(importance, 256, weights_);
  }

  ScaleBlock run() {
    start();
    float error = choose_groups();
    for (int round = 0; round < 2; ++round) {
      const ScaleBlock kept = block_;
      if (!refit_scale()) break;
      const float refitted = choose_groups();
      if (!(refitted < error)) {
        block_ = kept;
        break;
      }
      error = refitted;
    }
    return block_;
  }

 private:
  int groups() const { return 256 / group_size_; }

  void start() {
    float scales[16];
    float outermost = 0;
    for (int group = 0; group < groups(); ++group) {
      const int at = group * group_size_;
      scales[group] = fit_scale(x_ + at, weights_ + at, group_size_, levels_);
      if (std::fabs(scales[group]) > std::fabs(outermost)) outermost = scales[group];
    }
    const auto reach = static_cast<float>(scale_reach_);
    block_ = {};
    block_.d.store(-outermost / reach);
    const float inverse = inverse_or_zero(block_.d.value());
    for (int group = 0; group < groups(); ++group) {
      block_.scales[group] = static_cast<int>(round_within(scales[group] * inverse, -reach, reach - 1));
    }
  }

  float group_error(int group, float scale) const {
    const int begin = group * group_size_;
    const float inverse = inverse_or_zero(scale);
    Lanes error{};
    for (int i = begin; i < begin + group_size_; i += kLanes) {
      const Lanes values = load_lanes(x_ + i);
      const Lanes difference = values - levels_.nearest(values * inverse) * scale;
      error += load_lanes(weights_ + i) * difference * difference;
    }
    return sum_lanes(error);
  }

  // Tries the neighbours of each group's scale, sets the codes; returns the block's error.
  float choose_groups() {
    const float d = block_.d.value();
    float total = 0;
    for (int group = 0; group < groups(); ++group) {
      const int low = std::max(block_.scales[group] - 1, -scale_reach_);
      const int high = std::min(block_.scales[group] + 1, scale_reach_ - 1);
      float best = std::numeric_limits<float>::infinity();
      for (int scale = low; scale <= high; ++scale) {
        const float error = group_error(group, d * static_cast<float>(scale));
        if (!(error < best)) continue;
        best = error;
        block_.scales[group] = scale;
      }
      total += best;
      set_codes(group, d * static_cast<float>(block_.scales[group]));
    }
    return total;
  }

  void set_codes(int group, float scale) {
    const float inverse = inverse_or_zero(scale);
    const int begin = group * group_size_;
    for (int i = begin; i < begin + group_size_; ++i) {
      block_.codes[i] = static_cast<std::uint8_t>(levels_.code(x_[i] * inverse));
    }
  }

  // d by least squares for the codes and scales as they are.
  bool refit_scale() {
    double xa = 0, aa = 0;
    for (int i = 0; i < 256; ++i) {
      const double a = static_cast<double>(levels_.level(block_.codes[i])) * block_.scales[i / group_size_];
      xa += static_cast<double>(weights_[i]) * a * static_cast<double>(x_[i]);
      aa += static_cast<double>(weights_[i]) * a * a;
    }
    if (!(aa > 0) || xa == 0) return false;
    block_.d.store(static_cast<float>(xa / aa));
    return true;
  }

  Levels levels_;
  int group_size_, scale_reach_;
  ScaleBlock block_;
  float x_[256];
  float weights_[256];
};

// importance may be null.
template <class Levels>
ScaleBlock fit_scale_block(const float* values, const float* importance, const Levels& levels, int group_size,
                           int scale_reach) {
  return ScaleBlockFit<Levels>(values, importance, levels, group_size, scale_reach).run();
}

}  // namespace maestrale
