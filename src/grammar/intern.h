// Numbers equal lists of words equally: the hash table behind stacks and states that are compared by content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace maestrale::grammar {

class Interner {
 public:
  static constexpr std::uint32_t kNew = 0xffffffff;

  Interner() : slots_(64, kNew) {}
  std::span<const std::uint32_t> words(std::uint32_t id) const {
    return {words_.data() + begins_[id], begins_[id + 1] - begins_[id]};
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(hashes_.size()); }
  std::size_t bytes() const { return words_.size() * 4 + hashes_.size() * 12 + slots_.size() * 4; }

  // The number of `words`; `fresh` tells whether it is new. `words` must not lie in this object.
  std::uint32_t intern(std::span<const std::uint32_t> words, bool& fresh);

 private:
  void grow();
  std::vector<std::uint32_t> words_, begins_ = {0}, hashes_, slots_;
};

}  // namespace maestrale::grammar
