#include "tensor/formats/line_search.h"

#include <limits>

#include "tensor/formats/search.h"

namespace maestrale {
namespace {

// A candidate for one group, in coordinates shifted by the group's lowest value: x - lowest ~ scale * code +
// offset.
struct Candidate {
  float scale = 0, offset = 0;
  float error = std::numeric_limits<float>::infinity();
};

class GroupFit {
 public:
  GroupFit(const float* x, const float* weights, int n, int code_max, bool minimum_may_be_negative)
      : weights_(weights), n_(n), code_max_(static_cast<float>(code_max)) {
    lowest_ = minimum_may_be_negative ? x[0] : 0.0f;
    float highest = x[0];
    for (int i = 0; i < n; ++i) {
      lowest_ = std::min(lowest_, x[i]);
      highest = std::max(highest, x[i]);
    }
    range_ = highest - lowest_;
    offset_max_ = minimum_may_be_negative ? std::numeric_limits<float>::max() : -lowest_;
    for (int i = 0; i < n; ++i) {
      shifted_[i] = x[i] - lowest_;
      sum_w_ += weights[i];
      sum_x_ += weights[i] * shifted_[i];
      sum_xx_ += weights[i] * shifted_[i] * shifted_[i];
    }
  }

  FittedLine best() {
    if (!(range_ > 1e-15f)) return {0, -lowest_};
    Candidate best;
    for (int step = -9; step <= 13; ++step) {
      const float levels = code_max_ + 0.1f * static_cast<float>(step);
      const float inverse = levels / range_;
      keep_better(best, refit(inverse, 0));
      // The same number of levels, but what they do not cover is cut off at both ends.
      if (step > 0) keep_better(best, refit(inverse, 0.5f * (levels - code_max_) / inverse));
    }
    for (int round = 0; round < 4 && best.scale > 0; ++round) {
      if (!keep_better(best, refit(inverse_or_zero(best.scale), best.offset))) break;
    }
    return {best.scale, -(best.offset + lowest_)};
  }

 private:
  static bool keep_better(Candidate& best, const Candidate& candidate) {
    if (!(candidate.error < best.error)) return false;
    best = candidate;
    return true;
  }

  // Codes from a trial line, then the best line for these codes.
  Candidate refit(float inverse_scale, float offset) const {
    Lanes sum_l{}, sum_ll{}, sum_xl{};
    for (int i = 0; i < n_; i += kLanes) {
      const Lanes values = load_lanes(shifted_ + i);
      const Lanes code = round_within((values - offset) * inverse_scale, 0, code_max_);
      const Lanes weighted = load_lanes(weights_ + i) * code;
      sum_l += weighted;
      sum_ll += weighted * code;
      sum_xl += weighted * values;
    }
    const float l = sum_lanes(sum_l), ll = sum_lanes(sum_ll), xl = sum_lanes(sum_xl);
    if (!(ll > 0)) return {};
    const float determinant = sum_w_ * ll - l * l;
    Candidate line;
    if (determinant > 1e-6f * sum_w_ * ll) {
      line.offset = (ll * sum_x_ - l * xl) / determinant;
      line.scale = (sum_w_ * xl - sum_x_ * l) / determinant;
    } else {  // one code for all: a line through the lowest value
      line.scale = xl / ll;
    }
    if (line.offset > offset_max_) {
      line.offset = offset_max_;
      line.scale = (xl - line.offset * l) / ll;
    }
    if (!(line.scale > 0)) return {};
    line.error = sum_xx_ + line.scale * (line.scale * ll - 2 * xl) +
                 line.offset * (line.offset * sum_w_ - 2 * sum_x_ + 2 * line.scale * l);
    return line;
  }

  const float* weights_;
  int n_;
  float code_max_;
  float lowest_ = 0, range_ = 0, offset_max_ = 0;
  float sum_w_ = 0, sum_x_ = 0, sum_xx_ = 0;
  float shifted_[32];
};

// Chooses the whole-number scales and minimums of a block's groups and improves d and dmin for them.
class BlockFit {
 public:
  BlockFit(const float* values, const float* importance, const LineShape& shape) : shape_(shape) {
    load_values(values, 256, x_);
    load_weights(importance, 256, weights_);
  }

  LineBlock run() {
    start();
    float error = choose_groups();
    for (int round = 0; round < 2; ++round) {
      const LineBlock kept = block_;
      if (!refit_scales()) break;
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
  int groups() const { return 256 / shape_.group_size; }

  std::uint8_t whole(float x) const {
    return static_cast<std::uint8_t>(round_within(x, 0, static_cast<float>(shape_.scale_max)));
  }

  void start() {
    FittedLine lines[16];
    float scale_max = 0, minimum_max = 0;
    for (int group = 0; group < groups(); ++group) {
      const int at = group * shape_.group_size;
      lines[group] = fit_line(x_ + at, weights_ + at, shape_.group_size, shape_.code_max, false);
      scale_max = std::max(scale_max, lines[group].scale);
      minimum_max = std::max(minimum_max, lines[group].minimum);
    }
    block_ = {};
    block_.d.store(scale_max / static_cast<float>(shape_.scale_max));
    block_.dmin.store(minimum_max / static_cast<float>(shape_.scale_max));
    const float inverse_d = inverse_or_zero(block_.d.value());
    const float inverse_dmin = inverse_or_zero(block_.dmin.value());
    for (int group = 0; group < groups(); ++group) {
      block_.scales[group] = whole(lines[group].scale * inverse_d);
      block_.minimums[group] = whole(lines[group].minimum * inverse_dmin);
    }
  }

  float group_error(int group, float scale, float minimum) const {
    const int begin = group * shape_.group_size;
    const float inverse = inverse_or_zero(scale);
    const auto code_max = static_cast<float>(shape_.code_max);
    Lanes error{};
    for (int i = begin; i < begin + shape_.group_size; i += kLanes) {
      const Lanes values = load_lanes(x_ + i);
      const Lanes code = round_within((values + minimum) * inverse, 0, code_max);
      const Lanes difference = values - (code * scale - minimum);
      error += load_lanes(weights_ + i) * difference * difference;
    }
    return sum_lanes(error);
  }

  // Tries the neighbours of each group's scale and minimum, sets the codes; returns the block's error.
  float choose_groups() {
    const float d = block_.d.value(), dmin = block_.dmin.value();
    float total = 0;
    for (int group = 0; group < groups(); ++group) {
      const int scale = block_.scales[group], minimum = block_.minimums[group];
      float best = std::numeric_limits<float>::infinity();
      for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, shape_.scale_max); ++s) {
        for (int m = std::max(minimum - 1, 0); m <= std::min(minimum + 1, shape_.scale_max); ++m) {
          const float error = group_error(group, d * static_cast<float>(s), dmin * static_cast<float>(m));
          if (!(error < best)) continue;
          best = error;
          block_.scales[group] = static_cast<std::uint8_t>(s);
          block_.minimums[group] = static_cast<std::uint8_t>(m);
        }
      }
      total += best;
      set_codes(group);
    }
    return total;
  }

  void set_codes(int group) {
    const float scale = block_.d.value() * block_.scales[group];
    const float minimum = block_.dmin.value() * block_.minimums[group];
    const float inverse = inverse_or_zero(scale);
    const int begin = group * shape_.group_size;
    for (int i = begin; i < begin + shape_.group_size; ++i) {
      const float code = round_within((x_[i] + minimum) * inverse, 0, static_cast<float>(shape_.code_max));
      block_.codes[i] = static_cast<std::uint8_t>(code);
    }
  }

  // d and dmin by least squares for the codes, scales and minimums as they are.
  bool refit_scales() {
    double aa = 0, ac = 0, cc = 0, xa = 0, xc = 0;
    for (int i = 0; i < 256; ++i) {
      const int group = i / shape_.group_size;
      const double a = block_.scales[group] * block_.codes[i], c = block_.minimums[group];
      const double w = weights_[i], x = x_[i];
      aa += w * a * a;
      ac += w * a * c;
      cc += w * c * c;
      xa += w * x * a;
      xc += w * x * c;
    }
    const double determinant = aa * cc - ac * ac;
    double d = aa > 0 ? xa / aa : 0, dmin = 0;
    if (determinant > 1e-9 * aa * cc) {
      d = (xa * cc - xc * ac) / determinant;
      dmin = (xa * ac - xc * aa) / determinant;
    } else if (cc > 0) {
      return false;
    }
    if (!(d > 0) || !(dmin >= 0)) return false;
    block_.d.store(static_cast<float>(d));
    block_.dmin.store(static_cast<float>(dmin));
    return true;
  }

  LineShape shape_;
  LineBlock block_;
  float x_[256];
  float weights_[256];
};

}  // namespace

FittedLine fit_line(const float* x, const float* weights, int n, int code_max, bool minimum_may_be_negative) {
  return GroupFit(x, weights, n, code_max, minimum_may_be_negative).best();
}

LineBlock fit_line_block(const float* values, const float* importance, const LineShape& shape) {
  return BlockFit(values, importance, shape).run();
}

}  // namespace maestrale
