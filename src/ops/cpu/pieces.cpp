#include "ops/cpu/pieces.h"

#include <algorithm>

namespace maestrale::ops {

Pieces::Pieces(std::int64_t total, int workers, std::int64_t unit) {
  if (workers == 1) unit = std::max(unit, total);
  unit = std::max(unit, (total + kMaxPieces - 1) / kMaxPieces);
  for (std::int64_t at = 0; at < total; ++count_) {
    const std::int64_t share = (total - at) / (2 * std::int64_t{workers});
    const std::int64_t size = std::max((share + unit - 1) / unit * unit, unit);
    starts_[count_] = at;
    at = std::min(at + size, total);
  }
  starts_[count_] = total;
}

}  // namespace maestrale::ops
