#include "engine/sampler/fixed_math.h"

#include <algorithm>

namespace maestrale::engine {

void exponentials(std::span<const float> logits, float best, float inverse_temperature,
                  std::span<float> weights) {
  std::size_t i = 0;
  for (; i + 4 <= logits.size(); i += 4) {
    const Float4 lanes = exp_of_nonpositive((load4(&logits[i]) - best) * inverse_temperature);
    std::memcpy(&weights[i], &lanes, sizeof lanes);
  }
  for (; i < logits.size(); ++i) weights[i] = exp_of_nonpositive((logits[i] - best) * inverse_temperature);
}

double sum_of(std::span<const float> values) {
  double sum = 0.0;
  std::size_t i = 0;
  for (; i + kSumBlock <= values.size(); i += kSumBlock) {
    Float4 lanes{};
    for (std::size_t j = 0; j < kSumBlock; j += 4) lanes += load4(&values[i + j]);
    sum += static_cast<double>((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
  }
  for (; i < values.size(); ++i) sum += static_cast<double>(values[i]);
  return sum;
}

}  // namespace maestrale::engine
