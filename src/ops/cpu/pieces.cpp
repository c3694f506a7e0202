#include "ops/cpu/pieces.h"

#include <algorithm>

#include "base/check.h"

namespace maestrale::ops {
namespace {

constexpr std::int64_t kPiecePanels = 8;  // the tiles of many activations use an input for so many
constexpr std::int64_t kTogether = 4;     // the kernels work on two or four panels at a time

}  // namespace

std::int64_t PanelPieces::Part::pieces() const {
  const std::int64_t rows = kPiecePanels / streams;
  return (apart() + rows - 1) / rows + (panels % streams == 0 ? 0 : 1);
}

// Piece by piece down all streams; the panels that do not fill them come last.
PanelPiece PanelPieces::Part::at(std::int64_t piece) const {
  const std::int64_t begin = piece * (kPiecePanels / streams);
  if (begin >= apart()) return {0, first + apart() * streams, {.count = panels % streams}};
  return {0, first + begin, {std::min(kPiecePanels / streams, apart() - begin), streams, apart()}};
}

PanelPieces::Part PanelPieces::part(const PanelMatrix& matrix, std::int64_t worker) const {
  const auto bound = [&](std::int64_t w) {
    return w == workers_ ? matrix.panels : matrix.panels * w / workers_ / kTogether * kTogether;
  };
  return {bound(worker), bound(worker + 1) - bound(worker), matrix.streams};
}

PanelPieces::PanelPieces(std::span<const PanelMatrix> matrices, std::int64_t workers)
    : matrices_(matrices), workers_(workers) {
  for (std::int64_t worker = 0; worker < workers; ++worker) {
    std::int64_t pieces = 0;
    for (const PanelMatrix& matrix : matrices) pieces += part(matrix, worker).pieces();
    each_ = std::max(each_, pieces);
  }
}

PanelPiece PanelPieces::at(std::int64_t index) const {
  CHECK(index >= 0 && index < count(), "pieces are numbered from 0 to count()");
  std::int64_t left = index % each_;
  for (std::size_t i = 0; i < matrices_.size(); ++i) {
    const Part own = part(matrices_[i], index / each_);
    if (left < own.pieces()) {
      PanelPiece piece = own.at(left);
      piece.matrix = i;
      return piece;
    }
    left -= own.pieces();
  }
  return {};  // this worker has fewer than another
}

}  // namespace maestrale::ops
