// How latent attention is divided among workers: queries into tiles and, where there are few of them, their
// keys into parts.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/ops.h"

namespace maestrale::ops {

struct LatentRun {         // (row, head) pairs of one sequence, which are attended to together
  std::int64_t first = 0;  // row · heads + head
  int count = 0;           // pairs
  std::int64_t pages = 0;  // of keys up to its newest row
  int parts = 1;           // of its keys (kernels/latent_tile.h)
};

struct LatentPiece {  // some parts of a run's keys, one after the other
  std::int64_t run = 0;
  int first = 0, end = 0;
};

class LatentWork {
 public:
  // `lists`: rows look at keys of their own, which are never in parts.
  void plan(const BatchRows& rows, int heads, bool lists, int threads);

  const std::vector<LatentRun>& runs() const { return runs_; }
  // Empty where each run's parts come one after the other.
  const std::vector<LatentPiece>& pieces() const { return pieces_; }
  // Of part 0 of a run; its other parts follow, `count` pairs each.
  std::int64_t place(std::int64_t run) const { return places_[static_cast<std::size_t>(run)]; }
  std::int64_t pairs() const { return pairs_; }  // of all pieces

 private:
  void cut(const BatchRows& rows, int heads, bool lists, std::int64_t widest);
  void share_parts(int threads);

  std::vector<LatentRun> runs_;
  std::vector<LatentPiece> pieces_;
  std::vector<std::int64_t> places_;
  std::int64_t pairs_ = 0;
};

}  // namespace maestrale::ops
