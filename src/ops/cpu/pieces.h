// PanelPieces: the panels of matrices that share an input, cut for the workers of a pool. Each worker owns an
// equal part of every matrix and takes its pieces in order, so that it reads a few long streams.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernel_table.h"

namespace maestrale::ops {

struct PanelMatrix {
  std::int64_t panels = 0;
  std::int64_t streams = 1;  // that one worker best reads at once
};

// One call of a kernel; a piece may have no panels.
struct PanelPiece {
  std::size_t matrix = 0;
  std::int64_t first = 0;
  kernels::PanelRange range;
};

class PanelPieces {
 public:
  static constexpr std::size_t kMaxMatrices = 8;

  PanelPieces(std::span<const PanelMatrix> matrices, std::int64_t workers);

  // All pieces, as many for each worker: ThreadPool's share of worker w are the pieces of its own panels.
  std::int64_t count() const { return each_ * workers_; }
  PanelPiece at(std::int64_t index) const;

 private:
  // The panels of one matrix that one worker owns.
  struct Part {
    std::int64_t first = 0;
    std::int64_t panels = 0;
    std::int64_t streams = 1;

    std::int64_t apart() const { return panels / streams; }
    std::int64_t pieces() const;
    PanelPiece at(std::int64_t piece) const;
  };
  Part part(const PanelMatrix& matrix, std::int64_t worker) const;

  std::span<const PanelMatrix> matrices_;
  std::int64_t workers_;
  std::int64_t each_ = 0;  // pieces of a worker
};

}  // namespace maestrale::ops
