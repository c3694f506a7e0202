#include "engine/sampler/sample.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/rng.h"
#include "engine/sampler/filters.h"
#include "engine/sampler/fixed_math.h"

namespace maestrale::engine {
namespace {

using Candidate = SamplerWorkspace::Candidate;
using text::TokenId;

constexpr std::size_t kLanes =
    8;  // independent chains, so that the passes over the vocabulary are not latency-bound

Result<float> largest_logit(std::span<const float> logits) {
  if (logits.empty()) return Error{.what = "no logits to sample from", .where = "sampler"};
  std::array<float, kLanes> best;
  best.fill(-std::numeric_limits<float>::infinity());
  std::array<int, kLanes> broken{};
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float logit = logits[i + lane];
      broken[lane] |= static_cast<int>(!(logit <= std::numeric_limits<float>::max()));
      best[lane] = logit > best[lane] ? logit : best[lane];
    }
  }
  for (; i < logits.size(); ++i) {
    broken[0] |= static_cast<int>(!(logits[i] <= std::numeric_limits<float>::max()));
    best[0] = logits[i] > best[0] ? logits[i] : best[0];
  }
  if (std::any_of(broken.begin(), broken.end(), [](int flag) { return flag != 0; })) {
    const auto first = std::find_if(logits.begin(), logits.end(), [](float logit) {
      return !(logit <= std::numeric_limits<float>::max());
    });
    return Error{.what = "the model computed a logit that is not a finite number",
                 .where = fmt::format("token {}", first - logits.begin()),
                 .found = fmt::format("{}", *first),
                 .hint = "the weights may be damaged"};
  }
  const float result = *std::max_element(best.begin(), best.end());
  if (std::isinf(result)) return Error{.what = "every token is forbidden", .where = "sampler"};
  return result;
}

double log_normaliser(std::span<const float> logits, float best) {
  std::array<double, kLanes> sums{};
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    std::array<float, kLanes> weights;
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      weights[lane] = exp_of_nonpositive(logits[i + lane] - best);
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += static_cast<double>(weights[lane]);
  }
  for (; i < logits.size(); ++i) sums[0] += static_cast<double>(exp_of_nonpositive(logits[i] - best));
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return static_cast<double>(best) + log_of_positive(sum);
}

std::vector<TokenLogprob> likeliest(std::span<const float> logits, std::int64_t count, double normaliser) {
  std::vector<TokenLogprob> top;
  if (count == 0) return top;
  const std::size_t wanted = std::min(static_cast<std::size_t>(count), logits.size());
  const auto better = [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
  };
  for (std::size_t i = 0; i < logits.size(); ++i) {  // a heap whose front is the worst kept so far
    if (top.size() == wanted && logits[i] <= top.front().logprob) continue;
    if (top.size() == wanted) {
      std::pop_heap(top.begin(), top.end(), better);
      top.pop_back();
    }
    top.push_back({static_cast<TokenId>(i), logits[i]});
    std::push_heap(top.begin(), top.end(), better);
  }
  std::sort_heap(top.begin(), top.end(), better);
  for (TokenLogprob& entry : top)
    entry.logprob = static_cast<float>(static_cast<double>(entry.logprob) - normaliser);
  return top;
}

Error outside_vocabulary(std::string_view where, TokenId token, std::size_t size) {
  return Error{.what = "token outside the vocabulary",
               .where = std::string(where),
               .expected = fmt::format("an id in [0, {})", size),
               .found = fmt::format("{}", token)};
}

Status apply_penalties(std::span<const TokenId> history, const SamplingParams& params,
                       SamplerWorkspace& workspace) {
  const std::size_t window =
      params.penalty_window < 0 ? history.size() : static_cast<std::size_t>(params.penalty_window);
  const auto last = history.last(std::min(window, history.size()));
  auto& recent = workspace.recent;
  recent.assign(last.begin(), last.end());
  std::sort(recent.begin(), recent.end());
  for (auto run = recent.begin(); run != recent.end();) {
    const auto end = std::upper_bound(run, recent.end(), *run);
    if (*run < 0 || static_cast<std::size_t>(*run) >= workspace.logits.size()) {
      return outside_vocabulary("history", *run, workspace.logits.size());
    }
    float& logit = workspace.logits[static_cast<std::size_t>(*run)];
    double value = static_cast<double>(logit);
    value = value > 0.0 ? value / params.repetition_penalty : value * params.repetition_penalty;
    value -= params.presence_penalty + params.frequency_penalty * static_cast<double>(end - run);
    logit = static_cast<float>(value);
    run = end;
  }
  return {};
}

// The logits after bias and penalties: the model's own row where there are none.
Result<std::span<const float>> adjusted_logits(std::span<const float> logits,
                                               std::span<const TokenId> history, const SamplingParams& params,
                                               SamplerWorkspace& workspace) {
  if (params.logit_bias.empty() && !params.uses_penalties()) return logits;
  workspace.logits.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) {
      return outside_vocabulary("logit_bias", token, logits.size());
    }
    float& logit = workspace.logits[static_cast<std::size_t>(token)];
    logit = static_cast<float>(static_cast<double>(logit) + bias);
  }
  if (params.uses_penalties()) TRY(apply_penalties(history, params, workspace));
  return std::span<const float>(workspace.logits);
}

TokenId draw(const SamplerWorkspace& workspace, double random) {
  const double target = random * total_weight(workspace);
  double reached = 0.0;
  TokenId chosen = -1;
  for (const Candidate& candidate : workspace.candidates) {
    if (candidate.weight <= 0.0f) continue;
    chosen = candidate.token;  // rounding may leave the target just above the sum: the last one is right then
    reached += static_cast<double>(candidate.weight);
    if (reached > target) break;
  }
  return chosen;
}

TokenId choose(std::span<const float> logits, float best, const SamplingParams& params,
               std::uint64_t position, SamplerWorkspace& workspace) {
  if (params.temperature == 0.0) {
    return static_cast<TokenId>(std::find(logits.begin(), logits.end(), best) - logits.begin());
  }
  const double inverse = 1.0 / params.temperature;
  auto& candidates = workspace.candidates;
  candidates.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double distance =
        std::max((static_cast<double>(logits[i]) - static_cast<double>(best)) * inverse, -1e30);
    const float scaled = static_cast<float>(distance);
    candidates[i] = {static_cast<TokenId>(i), scaled, exp_of_nonpositive(scaled), 0.0f};
  }
  keep_top_k(workspace, params.top_k);
  keep_typical(workspace, params.typical_p);
  keep_top_p(workspace, params.top_p);
  keep_min_p(workspace, params.min_p);
  return draw(workspace, uniform(params.seed, 0, position));
}

}  // namespace

Result<Sample> sample_token(std::span<const float> logits, std::span<const TokenId> history,
                            const SamplingParams& params, std::uint64_t position,
                            SamplerWorkspace& workspace) {
  const float raw_best = TRY(largest_logit(logits));
  const auto adjusted = TRY(adjusted_logits(logits, history, params, workspace));
  const float best = adjusted.data() == logits.data() ? raw_best : TRY(largest_logit(adjusted));
  const TokenId token = choose(adjusted, best, params, position, workspace);
  const double normaliser = log_normaliser(logits, raw_best);
  const double logprob = static_cast<double>(logits[static_cast<std::size_t>(token)]) - normaliser;
  return Sample{token, static_cast<float>(logprob), likeliest(logits, params.logprobs, normaliser)};
}

Result<Sample> sample_token(std::span<const float> logits, std::span<const TokenId> history,
                            const SamplingParams& params, std::uint64_t position) {
  SamplerWorkspace workspace;
  return sample_token(logits, history, params, position, workspace);
}

}  // namespace maestrale::engine
