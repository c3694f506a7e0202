// Memory of one rendering: values are made, never freed one by one, and all go at once. What lives here is
// trivially destructible.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace maestrale::text::jinja {

class Arena {
 public:
  // Room for `count` objects of T, uninitialised.
  template <class T>
  T* array(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= kAlignment);
    return static_cast<T*>(objects_.take(*this, count * sizeof(T), kAlignment));
  }
  template <class T, class... Args>
  T* make(Args&&... args) {
    return ::new (array<T>(1)) T{std::forward<Args>(args)...};
  }
  char* text(std::size_t bytes) { return static_cast<char*>(texts_.take(*this, bytes, 1)); }
  std::string_view copy(std::string_view from);
  // head + tail. Where `head` is the newest text its bytes stay in place, so a loop that appends is linear.
  std::string_view append(std::string_view head, std::string_view tail);

  std::size_t used() const { return used_; }  // bytes

 private:
  static constexpr std::size_t kAlignment = 16;
  struct Pool {
    void* take(Arena& arena, std::size_t bytes, std::size_t alignment);
    char* cursor = nullptr;
    char* end = nullptr;
  };
  void open(Pool& pool, std::size_t bytes);

  std::vector<std::unique_ptr<char[]>> blocks_;
  std::size_t used_ = 0;
  Pool objects_;
  Pool texts_;
};

// A growing array in an arena.
template <class T>
struct ArenaVector {
  T* data = nullptr;
  std::size_t size = 0;
  std::size_t capacity = 0;

  void push(Arena& arena, const T& item) {
    if (size == capacity) grow(arena, capacity == 0 ? 4 : 2 * capacity);
    data[size++] = item;
  }
  void grow(Arena& arena, std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (count <= capacity) return;
    T* larger = arena.array<T>(count);
    if (size > 0) std::memcpy(static_cast<void*>(larger), data, size * sizeof(T));
    data = larger;
    capacity = count;
  }
  T* begin() const { return data; }
  T* end() const { return data + size; }
};

}  // namespace maestrale::text::jinja
