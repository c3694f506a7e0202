// Whatever the bytes: an answer or an error, and never more memory than the limit.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/gunzip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kLimit = 1 << 20;
  const auto text = maestrale::gunzip({reinterpret_cast<const char*>(data), size}, "fuzz", kLimit);
  CHECK(!text.ok() || text->size() <= kLimit, "the limit holds");
  return 0;
}
