#include "ops/cpu/pieces.h"

#include <algorithm>

namespace maestrale::ops {

Pieces::Pieces(std::int64_t total, int workers, std::int64_t unit) {
  const std::int64_t least = workers == 1 ? total : (total + kMaxPieces - 1) / kMaxPieces;
  unit = std::max((least + unit - 1) / unit * unit, unit);
  for (std::int64_t at = 0; at < total; ++count_) {
    const std::int64_t share = (total - at) / (2 * std::int64_t{workers});
    const std::int64_t size = std::max((share + unit - 1) / unit * unit, unit);
    starts_[count_] = at;
    at = std::min(at + size, total);
  }
  starts_[count_] = total;
}

}  // namespace maestrale::ops
