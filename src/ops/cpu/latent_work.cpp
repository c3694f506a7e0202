#include "ops/cpu/latent_work.h"

#include <algorithm>

#include "kernels/latent_tile.h"

namespace maestrale::ops {
namespace {

int parts_of(std::int64_t pages) {
  int parts = 0;
  for (std::int64_t page = 0; page < pages; page = kernels::next_part(page)) ++parts;
  return parts;
}

}  // namespace

void LatentWork::cut(const BatchRows& rows, int heads, bool lists, std::int64_t widest) {
  runs_.clear();
  const auto count = static_cast<std::int64_t>(rows.positions.size());
  const auto at = [](std::span<const std::int32_t> values, std::int64_t row) {
    return values[static_cast<std::size_t>(row)];
  };
  for (std::int64_t row = 0, end = 0; row < count; row = end) {
    end = row + 1;
    while (!lists && end < count && at(rows.sequences, end) == at(rows.sequences, row)) ++end;
    for (std::int64_t first = row * heads; first < end * heads; first += widest) {
      const std::int64_t last = std::min(first + widest, end * heads);
      const std::int64_t pages = at(rows.positions, (last - 1) / heads) / kernels::kPageTokens + 1;
      runs_.push_back({first, static_cast<int>(last - first), pages, lists ? 1 : parts_of(pages)});
    }
  }
}

// Wide runs read each row of the cache for many queries; narrow ones share a single token's heads out where
// its keys are too few to be shared.
void LatentWork::plan(const BatchRows& rows, int heads, bool lists, int threads) {
  constexpr std::int64_t kNarrowest = 8;
  pieces_.clear();
  places_.clear();
  pairs_ = 0;
  std::int64_t widest = kernels::kMaxTileRows;
  for (;; widest /= 2) {
    cut(rows, heads, lists, widest);
    if (std::ssize(runs_) >= 2 * threads) return;
    std::int64_t parts = 0;
    for (const LatentRun& run : runs_) parts += run.parts;
    if (parts >= threads || widest == kNarrowest) break;
  }
  const bool shared =
      std::any_of(runs_.begin(), runs_.end(), [](const LatentRun& run) { return run.parts > 1; });
  if (threads > 1 && shared) share_parts(threads);
}

// Few pieces, since each prepares its queries, and enough of them that no thread waits long for another.
void LatentWork::share_parts(int threads) {
  std::int64_t parts = 0;
  for (const LatentRun& run : runs_) parts += run.parts;
  const auto at_once = static_cast<int>(std::max<std::int64_t>(1, parts / (2 * threads)));
  for (std::int64_t i = 0; i < std::ssize(runs_); ++i) {
    const LatentRun& run = runs_[static_cast<std::size_t>(i)];
    places_.push_back(pairs_);
    pairs_ += std::int64_t{run.parts} * run.count;
    for (int part = 0; part < run.parts; part += at_once)
      pieces_.push_back({i, part, std::min(part + at_once, run.parts)});
  }
}

}  // namespace maestrale::ops
