#include "base/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

namespace maestrale {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// The number after `key` in a /proc file of "Key: 123 kB" lines, in bytes; 0 where absent.
std::uint64_t proc_kilobytes(const char* file, const std::string& key) {
  std::ifstream in(file);
  std::string word;
  while (in >> word) {
    std::uint64_t kilobytes = 0;
    if (word == key && in >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

std::uint64_t read_limit(const char* file) {
  std::uint64_t bytes = 0;
  std::ifstream in(file);
  return in >> bytes ? bytes : std::numeric_limits<std::uint64_t>::max();
}

std::uint64_t cgroup_room(const char* limit_file, const char* usage_file) {
  const std::uint64_t limit = read_limit(limit_file);
  const std::uint64_t usage = read_limit(usage_file);
  if (limit == std::numeric_limits<std::uint64_t>::max() ||
      usage == std::numeric_limits<std::uint64_t>::max()) {
    return std::numeric_limits<std::uint64_t>::max();
  }
  return limit > usage ? limit - usage : 0;
}

}  // namespace

Result<HugeBuffer> HugeBuffer::allocate(std::size_t bytes) {
  HugeBuffer buffer;
  if (bytes == 0) return buffer;
  const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  const bool huge = bytes >= kHugePage;
  const std::size_t size = huge ? rounded : (bytes + 4095) / 4096 * 4096;
  void* memory = rounded < bytes ? MAP_FAILED
                                 : ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the system refused " + std::to_string(bytes) + " bytes of memory"};
  }
  if (huge) ::madvise(memory, size, MADV_HUGEPAGE);
  buffer.data_ = static_cast<std::byte*>(memory);
  buffer.size_ = size;
  return buffer;
}

Status HugeBuffer::populate() const {
  if (size_ == 0) return {};
#ifdef MADV_POPULATE_WRITE
  if (::madvise(data_, size_, MADV_POPULATE_WRITE) == 0) return {};
  if (errno == ENOMEM) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the system has no " + std::to_string(size_) + " bytes of memory left"};
  }
#endif
  // Older kernels: one write to each page.
  for (std::size_t at = 0; at < size_; at += 4096) static_cast<volatile std::byte*>(data_)[at] = std::byte{0};
  return {};
}

HugeBuffer::HugeBuffer(HugeBuffer&& other) noexcept { *this = std::move(other); }

HugeBuffer& HugeBuffer::operator=(HugeBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

HugeBuffer::~HugeBuffer() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

std::uint64_t available_memory() {
  return std::min({proc_kilobytes("/proc/meminfo", "MemAvailable:"),
                   cgroup_room("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
                   cgroup_room("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                               "/sys/fs/cgroup/memory/memory.usage_in_bytes")});
}

std::uint64_t peak_resident_bytes() { return proc_kilobytes("/proc/self/status", "VmHWM:"); }
std::uint64_t resident_bytes() { return proc_kilobytes("/proc/self/status", "VmRSS:"); }

}  // namespace maestrale
