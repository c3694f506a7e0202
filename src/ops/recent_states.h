// RecentStates: what a model made of the last tokens of a sequence, for a head that predicts further tokens
// from it (nn/mtp_head.h). What is older is forgotten.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace maestrale::ops {

constexpr std::int64_t kRecentStates = 32;  // positions that are remembered: more than are guessed at once

class RecentStates {
 public:
  // Of a position; null where it is not known.
  const float* find(std::int64_t position) const {
    const std::size_t slot = slot_of(position);
    return positions_[slot] == position ? values_.data() + slot * width_ : nullptr;
  }

  void put(std::int64_t position, std::span<const float> state) {
    if (values_.size() != state.size() * kRecentStates) {
      width_ = state.size();
      values_.resize(width_ * kRecentStates);
    }
    const std::size_t slot = slot_of(position);
    std::copy(state.begin(), state.end(), values_.begin() + static_cast<std::ptrdiff_t>(slot * width_));
    positions_[slot] = position;
  }

  // Forgets positions from `tokens` on.
  void truncate(std::int64_t tokens) {
    for (std::int64_t& position : positions_) {
      if (position >= tokens) position = kNone;
    }
  }

 private:
  static constexpr std::int64_t kNone = -1;
  static std::size_t slot_of(std::int64_t position) {
    return static_cast<std::size_t>(position % kRecentStates);
  }
  static std::array<std::int64_t, kRecentStates> none() {
    std::array<std::int64_t, kRecentStates> positions;
    positions.fill(kNone);
    return positions;
  }

  std::size_t width_ = 0;
  std::vector<float> values_;  // [kRecentStates][width_]
  std::array<std::int64_t, kRecentStates> positions_ = none();
};

}  // namespace maestrale::ops
