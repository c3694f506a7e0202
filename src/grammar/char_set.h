// Sets of code points, and the byte sequences of UTF-8 that spell them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace maestrale::grammar {

struct CharRange {
  char32_t low = 0, high = 0;  // both inside
  bool operator==(const CharRange&) const = default;
  auto operator<=>(const CharRange&) const = default;
};

// Scalar values only: surrogates are in no set. Ranges are sorted, disjoint and not adjacent after
// normalise().
class CharSet {
 public:
  CharSet() = default;
  CharSet(char32_t low, char32_t high) { add(low, high); }
  static CharSet all() { return {0, 0x10ffff}; }

  void add(char32_t low, char32_t high);
  void add(const CharSet& other);
  CharSet inverted() const;
  CharSet intersected(const CharSet& other) const;
  CharSet without(const CharSet& other) const { return intersected(other.inverted()); }
  bool contains(char32_t codepoint) const;
  bool includes(const CharSet& other) const { return other.without(*this).empty(); }
  bool empty() const { return ranges_.empty(); }
  const std::vector<CharRange>& ranges() const { return ranges_; }
  auto operator<=>(const CharSet&) const = default;

 private:
  void normalise();
  std::vector<CharRange> ranges_;
};

struct ByteRange {
  std::uint8_t low = 0, high = 0;
  bool operator==(const ByteRange&) const = default;
};

// One to four byte ranges; their product is the spelling of some code points.
struct ByteSequence {
  std::array<ByteRange, 4> ranges = {};
  int length = 0;
};
std::vector<ByteSequence> utf8_sequences(const CharSet& set);

}  // namespace maestrale::grammar
