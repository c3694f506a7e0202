// The choice of experts: a few numbers per token, in plain code that is the same on every device.
// Exponentials are taken in double, so that their last bit does not matter.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "ops/experts.h"

namespace maestrale::ops {
namespace {

using Scores = std::array<float, kMaxExperts>;

// scores = softmax or sigmoid of the logits.
void score_logits(const RouterOptions& options, const float* logits, Scores& scores) {
  const auto count = static_cast<std::size_t>(options.experts);
  std::copy_n(logits, count, scores.begin());
  if (options.logit_cap > 0) {
    const double cap = options.logit_cap;
    for (std::size_t e = 0; e < count; ++e) scores[e] = static_cast<float>(cap * std::tanh(scores[e] / cap));
  }
  if (options.score == RouterScore::kSigmoid) {
    for (std::size_t e = 0; e < count; ++e) {
      scores[e] = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(scores[e]))));
    }
    return;
  }
  const float largest = *std::max_element(scores.begin(), scores.begin() + options.experts);
  double total = 0;
  std::array<double, kMaxExperts> powers;
  for (std::size_t e = 0; e < count; ++e) {
    powers[e] = std::exp(static_cast<double>(scores[e]) - static_cast<double>(largest));
    total += powers[e];
  }
  for (std::size_t e = 0; e < count; ++e) scores[e] = static_cast<float>(powers[e] / total);
}

// The best of values[0..count) that is still free; the lower index where two are equal.
std::size_t best_free(const float* values, const bool* taken, std::size_t count) {
  std::size_t best = count;
  for (std::size_t i = 0; i < count; ++i) {
    if (!taken[i] && (best == count || values[i] > values[best])) best = i;
  }
  return best;
}

float group_value(const float* values, std::size_t count, GroupScore how) {
  float best = -INFINITY, second = -INFINITY;
  for (std::size_t i = 0; i < count; ++i) {
    if (values[i] > best) {
      second = best;
      best = values[i];
    } else if (values[i] > second) {
      second = values[i];
    }
  }
  return how == GroupScore::kBest ? best : best + second;
}

// Marks the experts of all but the best groups as taken.
void drop_groups(const RouterOptions& options, const Scores& ranked, bool* taken) {
  const auto groups = static_cast<std::size_t>(options.groups);
  const std::size_t size = static_cast<std::size_t>(options.experts) / groups;
  Scores values;
  std::array<bool, kMaxExperts> kept = {};
  for (std::size_t g = 0; g < groups; ++g)
    values[g] = group_value(&ranked[g * size], size, options.group_score);
  for (int i = 0; i < options.groups_kept; ++i) kept[best_free(values.data(), kept.data(), groups)] = true;
  for (std::size_t g = 0; g < groups; ++g) {
    if (!kept[g]) std::fill_n(taken + g * size, size, true);
  }
}

}  // namespace

void route_token(const RouterOptions& options, const float* logits, const float* correction,
                 std::int32_t* experts, float* weights) {
  CHECK(options.experts <= kMaxExperts &&
            options.chosen <= options.experts / options.groups * options.groups_kept,
        "checked when the model is loaded");
  const auto count = static_cast<std::size_t>(options.experts);
  const auto chosen = static_cast<std::size_t>(options.chosen);
  Scores scores;
  score_logits(options, logits, scores);
  Scores ranked = scores;
  if (correction != nullptr) {
    for (std::size_t e = 0; e < count; ++e) ranked[e] += correction[e];
  }
  std::array<bool, kMaxExperts> taken = {};
  if (options.groups_kept < options.groups) drop_groups(options, ranked, taken.data());
  float total = 0;
  for (std::size_t i = 0; i < chosen; ++i) {
    const std::size_t expert = best_free(ranked.data(), taken.data(), count);
    taken[expert] = true;
    experts[i] = static_cast<std::int32_t>(expert);
    weights[i] = scores[expert];
    total += weights[i];
  }
  for (std::size_t i = 0; i < chosen; ++i) {
    if (options.renormalise) weights[i] = total > 0 ? weights[i] / total : 1.0f / static_cast<float>(chosen);
    weights[i] *= options.scale;
  }
}

}  // namespace maestrale::ops
