// Workspace: slices of one block of memory, handed out in order within a forward. Run without memory it only
// counts, so that what a forward takes is known before it is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"

namespace maestrale::nn {

class Workspace {
 public:
  Workspace() = default;  // counts only
  explicit Workspace(std::span<std::byte> memory) : memory_(memory), counting_(false) {}

  float* floats(std::int64_t n) {
    return reinterpret_cast<float*>(take(static_cast<std::size_t>(n) * sizeof(float)));
  }
  std::int32_t* integers(std::int64_t n) {
    return reinterpret_cast<std::int32_t*>(take(static_cast<std::size_t>(n) * sizeof(std::int32_t)));
  }
  std::span<std::byte> bytes(std::size_t n) { return {take(n), n}; }
  std::size_t used() const { return used_; }

 private:
  std::byte* take(std::size_t bytes) {
    const std::size_t start = used_;
    used_ += (bytes + 63) / 64 * 64;
    if (counting_) return nullptr;
    CHECK(used_ <= memory_.size(), "the workspace is sized by the same walk");
    return memory_.data() + start;
  }

  std::span<std::byte> memory_;
  bool counting_ = true;
  std::size_t used_ = 0;
};

}  // namespace maestrale::nn
