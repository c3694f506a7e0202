#include "text/template/arena.h"

#include <algorithm>

namespace maestrale::text::jinja {
namespace {
constexpr std::size_t kFirstBlock = 8u << 10;
constexpr std::size_t kLargestStep = 1u << 20;
}  // namespace

void Arena::open(Pool& pool, std::size_t bytes) {
  const std::size_t step = std::clamp(used_ / 2, kFirstBlock, kLargestStep);
  const std::size_t size = std::max(bytes + kAlignment, step);
  blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
  used_ += size;
  pool.cursor = blocks_.back().get();
  pool.end = pool.cursor + size;
}

void* Arena::Pool::take(Arena& arena, std::size_t bytes, std::size_t alignment) {
  std::size_t padding = 0;
  if (cursor != nullptr) {
    padding = (alignment - reinterpret_cast<std::size_t>(cursor) % alignment) % alignment;
  }
  if (cursor == nullptr || bytes + padding > static_cast<std::size_t>(end - cursor)) {
    arena.open(*this, bytes);
    padding = (alignment - reinterpret_cast<std::size_t>(cursor) % alignment) % alignment;
  }
  char* at = cursor + padding;
  cursor = at + bytes;
  return at;
}

std::string_view Arena::copy(std::string_view from) {
  if (from.empty()) return {};
  char* to = text(from.size());
  std::memcpy(to, from.data(), from.size());
  return {to, from.size()};
}

std::string_view Arena::append(std::string_view head, std::string_view tail) {
  if (tail.empty()) return head;
  if (head.empty()) return copy(tail);
  const bool newest = head.data() + head.size() == texts_.cursor;
  if (newest && tail.size() <= static_cast<std::size_t>(texts_.end - texts_.cursor)) {
    std::memcpy(text(tail.size()), tail.data(), tail.size());
    return {head.data(), head.size() + tail.size()};
  }
  const std::size_t size = head.size() + tail.size();
  if (newest) {  // grown before: leave room to grow in place again
    open(texts_, 2 * size);
  }
  char* to = text(size);
  std::memcpy(to, head.data(), head.size());
  std::memcpy(to + head.size(), tail.data(), tail.size());
  return {to, size};
}

}  // namespace maestrale::text::jinja
