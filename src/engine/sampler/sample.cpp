#include "engine/sampler/sample.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/rng.h"
#include "engine/sampler/filters.h"
#include "engine/sampler/fixed_math.h"

namespace maestrale::engine {
namespace {

using Candidate = SamplerWorkspace::Candidate;
using text::TokenId;

constexpr float kLargest = std::numeric_limits<float>::max();

Error broken_logit(std::span<const float> logits) {
  const auto first =
      std::find_if(logits.begin(), logits.end(), [](float logit) { return !(logit <= kLargest); });
  return Error{.what = "the model computed a logit that is not a finite number",
               .where = fmt::format("token {}", first - logits.begin()),
               .found = fmt::format("{}", *first),
               .hint = "the weights may be damaged"};
}

Result<float> largest_logit(std::span<const float> logits) {
  if (logits.empty()) return Error{.what = "no logits to sample from", .where = "sampler"};
  const Float4 finite = broadcast4(kLargest);
  Float4 best = broadcast4(-std::numeric_limits<float>::infinity());
  Bits4 sound = ~Bits4{};
  std::size_t i = 0;
  for (; i + 4 <= logits.size(); i += 4) {
    const Float4 lanes = load4(&logits[i]);
    sound &= lanes <= finite;
    best = select4(lanes > best, lanes, best);
  }
  bool all_sound = (sound[0] & sound[1] & sound[2] & sound[3]) != 0;
  float result = std::max(std::max(best[0], best[1]), std::max(best[2], best[3]));
  for (; i < logits.size(); ++i) {
    all_sound = all_sound && logits[i] <= kLargest;
    result = logits[i] > result ? logits[i] : result;
  }
  if (!all_sound) return broken_logit(logits);
  if (std::isinf(result)) return Error{.what = "every token is forbidden", .where = "sampler"};
  return result;
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

void forbid(std::span<const std::uint64_t> allowed, std::span<float> logits) {
  for (std::size_t token = 0; token < logits.size(); ++token) {
    const std::uint64_t word = allowed[token / 64];
    if ((word >> (token % 64) & 1) == 0) logits[token] = -std::numeric_limits<float>::infinity();
  }
}

// The logits after bias, penalties and mask: the model's own row where there are none.
Result<std::span<const float>> adjusted_logits(std::span<const float> logits,
                                               std::span<const TokenId> history, const SamplingParams& params,
                                               std::span<const std::uint64_t> allowed,
                                               SamplerWorkspace& workspace) {
  if (params.logit_bias.empty() && !params.uses_penalties() && allowed.empty()) return logits;
  workspace.logits.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) {
      return outside_vocabulary("logit_bias", token, logits.size());
    }
    float& logit = workspace.logits[static_cast<std::size_t>(token)];
    logit = static_cast<float>(static_cast<double>(logit) + bias);
  }
  if (params.uses_penalties()) TRY(apply_penalties(history, params, workspace));
  if (!allowed.empty()) forbid(allowed, workspace.logits);
  return std::span<const float>(workspace.logits);
}

// The token where the running sum of weights first exceeds `random` times their total, by ascending token.
TokenId draw_candidate(const std::vector<Candidate>& candidates, double random) {
  double total = 0.0;
  for (const Candidate& candidate : candidates) total += static_cast<double>(candidate.weight);
  double reached = 0.0;
  TokenId chosen = -1;
  for (const Candidate& candidate : candidates) {
    if (candidate.weight <= 0.0f) continue;
    chosen = candidate.token;  // rounding may leave the target just above the sum: the last one is right then
    reached += static_cast<double>(candidate.weight);
    if (reached > random * total) break;
  }
  return chosen;
}

TokenId draw_from_all(std::span<const float> weights, double random) {
  const double target = random * sum_of(weights);
  double reached = 0.0;
  std::size_t block = 0;
  std::size_t chosen = 0;
  for (; block < weights.size(); block += kSumBlock) {
    const double mass = sum_of(weights.subspan(block, std::min(kSumBlock, weights.size() - block)));
    if (mass > 0.0) chosen = block;
    if (reached + mass > target) break;
    reached += mass;
  }
  const std::size_t end = std::min(chosen + kSumBlock, weights.size());
  TokenId token = -1;
  for (std::size_t i = chosen; i < end; ++i) {
    if (weights[i] <= 0.0f) continue;
    token = static_cast<TokenId>(i);
    reached += static_cast<double>(weights[i]);
    if (reached > target) break;
  }
  return token;
}

TokenId choose(std::span<const float> logits, float best, const SamplingParams& params,
               std::uint64_t position, SamplerWorkspace& workspace) {
  if (params.temperature == 0.0) {
    return static_cast<TokenId>(std::find(logits.begin(), logits.end(), best) - logits.begin());
  }
  const auto inverse = static_cast<float>(std::min(1.0 / params.temperature, 1e30));
  workspace.weights.resize(logits.size());
  exponentials(logits, best, inverse, workspace.weights);
  const double random = uniform(params.seed, 0, position);
  const bool narrowed =
      params.top_k > 0 || params.typical_p < 1.0 || params.top_p < 1.0 || params.min_p > 0.0;
  if (!narrowed) return draw_from_all(workspace.weights, random);
  run_filters({logits, best, inverse}, params, workspace);
  return draw_candidate(workspace.candidates, random);
}

// Log of the sum of e^logit. Takes the weights that were just computed where they are the same.
double log_normaliser(std::span<const float> logits, float best, bool weights_are_current,
                      SamplerWorkspace& workspace) {
  if (!weights_are_current) {
    workspace.weights.resize(logits.size());
    exponentials(logits, best, 1.0f, workspace.weights);
  }
  return static_cast<double>(best) + log_of_positive(sum_of(workspace.weights));
}

}  // namespace

Result<Sample> sample_token(std::span<const float> logits, std::span<const TokenId> history,
                            const SamplingParams& params, std::uint64_t position, SamplerWorkspace& workspace,
                            std::span<const std::uint64_t> allowed) {
  CHECK(allowed.empty() || allowed.size() * 64 >= logits.size(), "a mask has a bit for every token");
  const float raw_best = TRY(largest_logit(logits));
  const auto adjusted = TRY(adjusted_logits(logits, history, params, allowed, workspace));
  const bool untouched = adjusted.data() == logits.data();
  const float best = untouched ? raw_best : TRY(largest_logit(adjusted));
  const TokenId token = choose(adjusted, best, params, position, workspace);
  const double normaliser =
      log_normaliser(logits, raw_best, untouched && params.temperature == 1.0, workspace);
  const double logprob = static_cast<double>(logits[static_cast<std::size_t>(token)]) - normaliser;
  return Sample{token, static_cast<float>(logprob), likeliest(logits, params.logprobs, normaliser)};
}

Result<Sample> sample_token(std::span<const float> logits, std::span<const TokenId> history,
                            const SamplingParams& params, std::uint64_t position) {
  SamplerWorkspace workspace;
  return sample_token(logits, history, params, position, workspace);
}

}  // namespace maestrale::engine
