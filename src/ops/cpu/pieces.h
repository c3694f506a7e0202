// Pieces: a range cut for workers that take one piece after the other. Long pieces come first, so that a core
// reads long streams; short ones last, so that all end together.
#pragma once

#include <cstdint>

namespace maestrale::ops {

class Pieces {
 public:
  // Pieces of [0, total), each a multiple of `unit` but the last.
  Pieces(std::int64_t total, int workers, std::int64_t unit);

  std::int64_t count() const { return count_; }
  std::int64_t begin(std::int64_t piece) const { return starts_[piece]; }
  std::int64_t end(std::int64_t piece) const { return starts_[piece + 1]; }

 private:
  static constexpr std::int64_t kMaxPieces = 512;
  std::int64_t count_ = 0;
  std::int64_t starts_[kMaxPieces + 1] = {};
};

}  // namespace maestrale::ops
