#include "engine/sampler/filters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "engine/sampler/fixed_math.h"

namespace maestrale::engine {
namespace {

using Candidate = SamplerWorkspace::Candidate;

// Keys are distances from the best candidate in units of log-probability; bands of 1/16 up to 64, then one
// more.
constexpr int kBands = 1025;
using Bands = std::array<double, kBands>;

int band_of(float key) { return static_cast<int>(std::min(key * 16.0f, 1024.0f)); }

float distance(const ScaledLogits& scaled, std::size_t token) {
  return std::min((scaled.best - scaled.logits[token]) * scaled.inverse_temperature, 1e30f);
}

bool before(const Candidate& a, const Candidate& b) {
  if (a.key != b.key) return a.key < b.key;
  return a.distance != b.distance ? a.distance < b.distance : a.token < b.token;
}

// The band where the running sum reaches `target`, and the sum before it.
std::pair<int, double> find_cut(const Bands& bands, double target) {
  double reached = 0.0;
  int cut = 0;
  while (cut < kBands - 1 && reached + bands[static_cast<std::size_t>(cut)] < target) {
    reached += bands[static_cast<std::size_t>(cut++)];
  }
  return {cut, reached};
}

// Keeps the shortest run of candidates, in order of `before`, whose measure reaches `target`.
template <class Measure>
void keep_until(SamplerWorkspace& workspace, double target, Measure measure) {
  auto& candidates = workspace.candidates;
  Bands bands{};
  for (const Candidate& candidate : candidates) {
    bands[static_cast<std::size_t>(band_of(candidate.key))] += measure(candidate);
  }
  auto [cut, reached] = find_cut(bands, target);
  auto& boundary = workspace.boundary;
  boundary.clear();
  for (const Candidate& candidate : candidates) {
    if (band_of(candidate.key) == cut) boundary.push_back(candidate);
  }
  if (boundary.empty()) return;  // rounding left the target out of reach: everything stays
  std::sort(boundary.begin(), boundary.end(), before);
  std::size_t last = 0;
  while (last + 1 < boundary.size() && (reached += measure(boundary[last])) < target) ++last;
  const Candidate limit = boundary[last];
  std::erase_if(candidates, [&limit](const Candidate& candidate) { return before(limit, candidate); });
}

double weight_of(const Candidate& candidate) { return static_cast<double>(candidate.weight); }

double total_weight(const SamplerWorkspace& workspace) {
  double total = 0.0;
  for (const Candidate& candidate : workspace.candidates) total += weight_of(candidate);
  return total;
}

void order_by_likelihood(SamplerWorkspace& workspace) {
  for (Candidate& candidate : workspace.candidates) candidate.key = candidate.distance;
}

void keep_typical(SamplerWorkspace& workspace, double mass) {
  const double total = total_weight(workspace);
  double mean = 0.0;  // of the distance: a token's surprise less the entropy is its distance less the mean
  for (const Candidate& candidate : workspace.candidates) {
    mean += weight_of(candidate) * static_cast<double>(candidate.distance);
  }
  mean /= total;
  for (Candidate& candidate : workspace.candidates) {
    candidate.key = static_cast<float>(std::abs(static_cast<double>(candidate.distance) - mean));
  }
  keep_until(workspace, mass * total, weight_of);
}

void keep_min_p(SamplerWorkspace& workspace, double share) {
  float best = 0.0f;
  for (const Candidate& candidate : workspace.candidates) best = std::max(best, candidate.weight);
  const double least = share * static_cast<double>(best);
  std::erase_if(workspace.candidates,
                [least](const Candidate& candidate) { return weight_of(candidate) < least; });
}

// The vocabulary down to whole bands that hold everything the first active stage can keep, so that the later
// passes are short. Returns the total weight of the whole vocabulary where top-p needs it.
double gather(const ScaledLogits& scaled, const SamplingParams& params, SamplerWorkspace& workspace) {
  const std::size_t size = scaled.logits.size();
  int limit = kBands;
  double total = 0.0;
  if (params.top_k > 0) {
    Bands bands{};
    for (std::size_t i = 0; i < size; ++i)
      bands[static_cast<std::size_t>(band_of(distance(scaled, i)))] += 1.0;
    limit = find_cut(bands, static_cast<double>(params.top_k)).first;
  } else if (params.typical_p >= 1.0 && params.top_p < 1.0) {
    Bands bands{};
    for (std::size_t i = 0; i < size; ++i) {
      bands[static_cast<std::size_t>(band_of(distance(scaled, i)))] +=
          static_cast<double>(workspace.weights[i]);
    }
    for (const double mass : bands) total += mass;
    limit = find_cut(bands, params.top_p * total).first;
  } else if (params.typical_p >= 1.0 && params.min_p > 0.0) {
    limit = band_of(static_cast<float>(-log_of_positive(params.min_p))) + 1;
  }
  workspace.candidates.clear();
  for (std::size_t i = 0; i < size; ++i) {
    const float away = distance(scaled, i);
    if (band_of(away) <= limit) {
      workspace.candidates.push_back({static_cast<text::TokenId>(i), away, workspace.weights[i], away});
    }
  }
  return total;
}

}  // namespace

void run_filters(const ScaledLogits& scaled, const SamplingParams& params, SamplerWorkspace& workspace) {
  double total = gather(scaled, params, workspace);
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < workspace.candidates.size()) {
    keep_until(workspace, static_cast<double>(params.top_k), [](const Candidate&) { return 1.0; });
  }
  if (params.typical_p < 1.0) keep_typical(workspace, params.typical_p);
  if (params.top_p < 1.0) {
    if (params.top_k > 0 || params.typical_p < 1.0) total = total_weight(workspace);
    order_by_likelihood(workspace);
    keep_until(workspace, params.top_p * total, weight_of);
  }
  if (params.min_p > 0.0) keep_min_p(workspace, params.min_p);
}

}  // namespace maestrale::engine
