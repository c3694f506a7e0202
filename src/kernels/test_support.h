// What the tests of this room share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace maestrale::kernels {

// Zeroed bytes, 64-byte aligned.
class Buffer {
 public:
  explicit Buffer(std::size_t size) : lines_((size + 63) / 64) {}
  std::byte* data() { return lines_.empty() ? nullptr : lines_.front().bytes; }
  const std::byte* data() const { return lines_.empty() ? nullptr : lines_.front().bytes; }
  float* floats() { return reinterpret_cast<float*>(data()); }

 private:
  struct alignas(64) Line {
    std::byte bytes[64] = {};
  };
  std::vector<Line> lines_;
};

struct Random {
  std::uint64_t state = 7;
  std::uint32_t next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state >> 33);
  }
  float normal_like() {  // in (-2, 2), bell shaped
    float sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<float>(next() & 0xffff) / 65536.0f - 0.5f;
    return sum;
  }
  std::vector<float> normals(std::size_t n) {
    std::vector<float> values(n);
    for (float& value : values) value = normal_like();
    return values;
  }
};

constexpr double kUnitRoundoff = 0x1.0p-24;  // of f32

}  // namespace maestrale::kernels
