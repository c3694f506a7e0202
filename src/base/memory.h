// HugeBuffer: page-aligned zeroed memory straight from the system, in huge pages where they are granted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace maestrale {

class HugeBuffer {
 public:
  // kResource where the system has no such memory. The pages are taken on first touch.
  static Result<HugeBuffer> allocate(std::size_t bytes);
  HugeBuffer() = default;
  HugeBuffer(HugeBuffer&& other) noexcept;
  HugeBuffer& operator=(HugeBuffer&& other) noexcept;
  ~HugeBuffer();

  // Takes all pages now, so that neither a lack of memory nor its cost comes later. kResource where they are
  // not there.
  Status populate() const;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Bytes that this process may still take: MemAvailable, cut down by a cgroup limit.
std::uint64_t available_memory();
// Highest resident set so far and the present one, in bytes.
std::uint64_t peak_resident_bytes();
std::uint64_t resident_bytes();

}  // namespace maestrale
