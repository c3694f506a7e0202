#include "grammar/intern.h"

#include <algorithm>

namespace maestrale::grammar {
namespace {

std::uint32_t hash_of(std::span<const std::uint32_t> words) {
  std::uint64_t hash = 0x9e3779b97f4a7c15 ^ words.size();
  for (const std::uint32_t word : words) {
    hash = (hash ^ word) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
  }
  return static_cast<std::uint32_t>(hash);
}

}  // namespace

std::uint32_t Interner::intern(std::span<const std::uint32_t> words, bool& fresh) {
  const std::uint32_t hash = hash_of(words);
  std::size_t slot = hash & (slots_.size() - 1);
  for (; slots_[slot] != kNew; slot = (slot + 1) & (slots_.size() - 1)) {
    const std::uint32_t id = slots_[slot];
    const auto known = this->words(id);
    if (hashes_[id] == hash && std::equal(known.begin(), known.end(), words.begin(), words.end())) {
      fresh = false;
      return id;
    }
  }
  fresh = true;
  slots_[slot] = size();
  hashes_.push_back(hash);
  words_.insert(words_.end(), words.begin(), words.end());
  begins_.push_back(static_cast<std::uint32_t>(words_.size()));
  if (hashes_.size() * 2 > slots_.size()) grow();
  return size() - 1;
}

void Interner::grow() {
  slots_.assign(slots_.size() * 2, kNew);
  for (std::uint32_t id = 0; id < size(); ++id) {
    std::size_t slot = hashes_[id] & (slots_.size() - 1);
    while (slots_[slot] != kNew) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = id;
  }
}

}  // namespace maestrale::grammar
