#include "engine/sampler/filters.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/sampler/fixed_math.h"

namespace maestrale::engine {
namespace {

using Candidate = SamplerWorkspace::Candidate;

// Keys are distances from the best candidate in units of log-probability; bands of 1/16 up to 64, then one
// more.
constexpr int kBands = 1025;

int band_of(float key) { return static_cast<int>(std::min(key * 16.0f, 1024.0f)); }

bool before(const Candidate& a, const Candidate& b) {
  return a.key != b.key ? a.key < b.key : (a.scaled != b.scaled ? a.scaled > b.scaled : a.token < b.token);
}

// Keeps the shortest run of candidates, in order of `before`, whose measure reaches `target`.
template <class Measure>
void keep_until(SamplerWorkspace& workspace, double target, Measure measure) {
  auto& candidates = workspace.candidates;
  std::array<double, kBands> bands{};
  for (const Candidate& candidate : candidates)
    bands[static_cast<std::size_t>(band_of(candidate.key))] += measure(candidate);
  double reached = 0.0;
  int cut = 0;
  while (cut < kBands - 1 && reached + bands[static_cast<std::size_t>(cut)] < target) {
    reached += bands[static_cast<std::size_t>(cut++)];
  }
  auto& boundary = workspace.boundary;
  boundary.clear();
  std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(boundary),
               [cut](const Candidate& candidate) { return band_of(candidate.key) == cut; });
  if (boundary.empty()) return;  // rounding left the target out of reach: everything stays
  std::sort(boundary.begin(), boundary.end(), before);
  std::size_t last = 0;
  while (last + 1 < boundary.size() && (reached += measure(boundary[last])) < target) ++last;
  const Candidate limit = boundary[last];
  std::erase_if(candidates, [&limit](const Candidate& candidate) { return before(limit, candidate); });
}

void order_by_likelihood(SamplerWorkspace& workspace) {
  float best = -INFINITY;
  for (const Candidate& candidate : workspace.candidates) best = std::max(best, candidate.scaled);
  for (Candidate& candidate : workspace.candidates) candidate.key = best - candidate.scaled;
}

}  // namespace

double total_weight(const SamplerWorkspace& workspace) {
  std::array<double, 4> lanes{};
  std::size_t lane = 0;
  for (const Candidate& candidate : workspace.candidates)
    lanes[lane++ & 3] += static_cast<double>(candidate.weight);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

void keep_top_k(SamplerWorkspace& workspace, std::int64_t k) {
  if (k <= 0 || static_cast<std::size_t>(k) >= workspace.candidates.size()) return;
  order_by_likelihood(workspace);
  keep_until(workspace, static_cast<double>(k), [](const Candidate&) { return 1.0; });
}

void keep_typical(SamplerWorkspace& workspace, double mass) {
  if (mass >= 1.0) return;
  const double total = total_weight(workspace);
  const double log_total = log_of_positive(total);
  double mean = 0.0;  // of `scaled`, so that the entropy is log_total - mean
  for (const Candidate& candidate : workspace.candidates) {
    mean += static_cast<double>(candidate.weight) * static_cast<double>(candidate.scaled);
  }
  const double entropy = log_total - mean / total;
  for (Candidate& candidate : workspace.candidates) {
    const double surprise = log_total - static_cast<double>(candidate.scaled);
    candidate.key = static_cast<float>(std::abs(surprise - entropy));
  }
  keep_until(workspace, mass * total,
             [](const Candidate& candidate) { return static_cast<double>(candidate.weight); });
}

void keep_top_p(SamplerWorkspace& workspace, double mass) {
  if (mass >= 1.0) return;
  order_by_likelihood(workspace);
  keep_until(workspace, mass * total_weight(workspace),
             [](const Candidate& candidate) { return static_cast<double>(candidate.weight); });
}

void keep_min_p(SamplerWorkspace& workspace, double share) {
  if (share <= 0.0) return;
  float best = 0.0f;
  for (const Candidate& candidate : workspace.candidates) best = std::max(best, candidate.weight);
  const double least = share * static_cast<double>(best);
  std::erase_if(workspace.candidates, [least](const Candidate& candidate) {
    return static_cast<double>(candidate.weight) < least;
  });
}

}  // namespace maestrale::engine
