// A trie over bytes with its edges in one hash table: a step is one probe, building is linear.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace maestrale::text {

class ByteTrie {
 public:
  static constexpr std::uint32_t kRoot = 0;
  static constexpr std::uint32_t kNone = 0xffffffff;

  ByteTrie();
  // The value of `key` afterwards: an existing key keeps its old value.
  std::int32_t insert(std::string_view key, std::int32_t value);
  std::uint32_t step(std::uint32_t node, char byte) const;
  std::int32_t value(std::uint32_t node) const { return values_[node]; }  // -1: no key ends here
  bool empty() const { return values_.size() == 1; }

 private:
  struct Edge {
    std::uint64_t key = 0;  // (node << 8 | byte) + 1; 0 is free
    std::uint32_t target = 0;
  };
  std::size_t slot(std::uint64_t key) const;
  void grow();

  std::vector<std::int32_t> values_;
  std::vector<Edge> edges_;
  std::size_t mask_;
};

}  // namespace maestrale::text
