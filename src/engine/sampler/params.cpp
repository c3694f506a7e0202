#include "engine/sampler/params.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

namespace maestrale::engine {
namespace {

Error out_of_range(std::string_view field, std::string_view range, std::string found) {
  return Error{.kind = ErrorKind::kUsage,
               .what = "sampling parameter out of range",
               .where = std::string(field),
               .expected = std::string(range),
               .found = std::move(found)};
}

Status in_range(std::string_view field, double value, double low, double high, bool low_included) {
  const bool above = low_included ? value >= low : value > low;
  if (above && value <= high) return {};
  return out_of_range(field, fmt::format("a number in {}{}, {}]", low_included ? '[' : '(', low, high),
                      fmt::format("{}", value));
}

Status in_range(std::string_view field, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return {};
  return out_of_range(field, fmt::format("an integer in [{}, {}]", low, high), fmt::format("{}", value));
}

Status check_bias(const std::vector<std::pair<text::TokenId, double>>& biases) {
  for (const auto& [token, bias] : biases) {
    if (token < 0)
      return out_of_range("logit_bias", "token ids of 0 or more", fmt::format("token {}", token));
    const bool forbids = bias == -std::numeric_limits<double>::infinity();
    if (!forbids && !(std::abs(bias) <= 1e6)) {
      return out_of_range("logit_bias", "a bias in [-1e6, 1e6] or -infinity",
                          fmt::format("{} for token {}", bias, token));
    }
  }
  return {};
}

}  // namespace

Status SamplingParams::validate() const {
  constexpr std::int64_t kMany = std::numeric_limits<std::int32_t>::max();
  TRY(in_range("temperature", temperature, 0.0, 100.0, true));
  TRY(in_range("top_k", top_k, 0, kMany));
  TRY(in_range("top_p", top_p, 0.0, 1.0, false));
  TRY(in_range("min_p", min_p, 0.0, 1.0, true));
  TRY(in_range("typical_p", typical_p, 0.0, 1.0, false));
  TRY(in_range("repetition_penalty", repetition_penalty, 0.0, 100.0, false));
  TRY(in_range("presence_penalty", presence_penalty, -100.0, 100.0, true));
  TRY(in_range("frequency_penalty", frequency_penalty, -100.0, 100.0, true));
  TRY(in_range("penalty_window", penalty_window, -1, kMany));
  TRY(in_range("logprobs", logprobs, 0, kMaxLogprobs));
  return check_bias(logit_bias);
}

bool SamplingParams::uses_penalties() const {
  return penalty_window != 0 &&
         (repetition_penalty != 1.0 || presence_penalty != 0.0 || frequency_penalty != 0.0);
}

}  // namespace maestrale::engine
