#include "nn/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace maestrale::nn {
namespace {

double llama3_frequency(const RopeOptions& options, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < options.original_context / options.high_factor) return frequency;
  if (wavelength > options.original_context / options.low_factor) return frequency / options.factor;
  if (options.high_factor == options.low_factor) return frequency;
  const double smooth = (options.original_context / wavelength - options.low_factor) /
                        (options.high_factor - options.low_factor);
  return (1 - smooth) * frequency / options.factor + smooth * frequency;
}

// Dimension whose wavelength makes `rotations` turns over the original context.
double yarn_dimension(const RopeOptions& options, double rotations) {
  return static_cast<double>(options.rotated) *
         std::log(options.original_context / (2 * std::numbers::pi * rotations)) /
         (2 * std::log(options.base));
}

double yarn_frequency(const RopeOptions& options, double frequency, double index) {
  double low = yarn_dimension(options, options.beta_fast);
  double high = yarn_dimension(options, options.beta_slow);
  if (options.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(options.rotated - 1));
  const double ramp = std::clamp((index - low) / std::max(high - low, 0.001), 0.0, 1.0);
  return frequency * (1 - ramp) + frequency / options.factor * ramp;
}

double scaled(const RopeOptions& options, double frequency, std::size_t index) {
  switch (options.scaling) {
    case RopeScaling::kNone:
      return frequency;
    case RopeScaling::kLinear:
      return frequency / options.factor;
    case RopeScaling::kLlama3:
      return llama3_frequency(options, frequency);
    case RopeScaling::kYarn:
      return yarn_frequency(options, frequency, static_cast<double>(index));
    case RopeScaling::kDivisors:
      return frequency / static_cast<double>(options.divisors[index]);
  }
  return frequency;
}

}  // namespace

double yarn_magnitude(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

std::vector<float> rope_frequencies(const RopeOptions& options) {
  std::vector<float> frequencies(static_cast<std::size_t>(options.rotated / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(options.rotated);
    frequencies[i] = static_cast<float>(scaled(options, std::pow(options.base, -exponent), i));
  }
  return frequencies;
}

}  // namespace maestrale::nn
