#include "grammar/char_set.h"

#include <algorithm>

#include "base/utf8.h"

namespace maestrale::grammar {
namespace {

constexpr char32_t kLast = 0x10ffff;

int encode(char32_t codepoint, std::array<std::uint8_t, 4>& out) {
  std::string text;
  append_utf8(text, codepoint);
  std::copy(text.begin(), text.end(), out.begin());
  return static_cast<int>(text.size());
}

// `range` lies within one length class. Splits where leading bytes differ and the rest is not the full range.
void split(CharRange range, int length, std::vector<ByteSequence>& out) {
  for (int tail = 1; tail < length; ++tail) {
    const char32_t block = (char32_t{1} << (6 * tail)) - 1;
    if ((range.low & ~block) == (range.high & ~block)) continue;
    if ((range.low & block) != 0) {
      split({range.low, range.low | block}, length, out);
      split({(range.low | block) + 1, range.high}, length, out);
      return;
    }
    if ((range.high & block) != block) {
      split({range.low, (range.high & ~block) - 1}, length, out);
      split({range.high & ~block, range.high}, length, out);
      return;
    }
  }
  ByteSequence sequence;
  std::array<std::uint8_t, 4> low{}, high{};
  sequence.length = encode(range.low, low);
  encode(range.high, high);
  for (std::size_t i = 0; i < 4; ++i) sequence.ranges[i] = {low[i], high[i]};
  out.push_back(sequence);
}

}  // namespace

void CharSet::normalise() {
  std::sort(ranges_.begin(), ranges_.end());
  std::vector<CharRange> merged;
  for (const CharRange& range : ranges_) {
    if (!merged.empty() && range.low <= merged.back().high + 1) {
      merged.back().high = std::max(merged.back().high, range.high);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
}

void CharSet::add(char32_t low, char32_t high) {
  high = std::min(high, kLast);
  const auto part = [&](char32_t first, char32_t last) {
    if (first > last) return;
    const bool behind = ranges_.empty() || first > ranges_.back().high + 1;
    ranges_.push_back({first, last});
    if (!behind) normalise();
  };
  part(low, std::min<char32_t>(high, 0xd7ff));
  part(std::max<char32_t>(low, 0xe000), high);
}

void CharSet::add(const CharSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  normalise();
}

CharSet CharSet::inverted() const {
  CharSet out;
  char32_t next = 0;
  for (const CharRange& range : ranges_) {
    if (range.low > next) out.add(next, range.low - 1);
    next = range.high + 1;
  }
  if (next <= kLast) out.add(next, kLast);
  return out;
}

CharSet CharSet::intersected(const CharSet& other) const {
  CharSet out;
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    const char32_t low = std::max(a->low, b->low);
    const char32_t high = std::min(a->high, b->high);
    if (low <= high) out.ranges_.push_back({low, high});
    (a->high < b->high ? a : b)++;
  }
  out.normalise();
  return out;
}

bool CharSet::contains(char32_t codepoint) const {
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), codepoint,
                       [](char32_t value, const CharRange& range) { return value < range.low; });
  return after != ranges_.begin() && std::prev(after)->high >= codepoint;
}

std::vector<ByteSequence> utf8_sequences(const CharSet& set) {
  constexpr CharRange kLengths[] = {{0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xffff}, {0x10000, kLast}};
  std::vector<ByteSequence> out;
  for (const CharRange& range : set.ranges()) {
    for (int length = 1; length <= 4; ++length) {
      const CharRange& whole = kLengths[length - 1];
      const CharRange part{std::max(range.low, whole.low), std::min(range.high, whole.high)};
      if (part.low <= part.high) split(part, length, out);
    }
  }
  return out;
}

}  // namespace maestrale::grammar
