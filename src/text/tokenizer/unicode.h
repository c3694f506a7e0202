// Unicode categories of one character as bits, from a flat table of one byte per code point (Unicode
// Character Database through utf8proc), and a scanner over UTF-8 text. Bytes that are not UTF-8 have no
// category at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace maestrale::text {

inline constexpr std::uint8_t kLetter = 1;        // \p{L}
inline constexpr std::uint8_t kNumber = 2;        // \p{N}
inline constexpr std::uint8_t kMark = 4;          // \p{M}
inline constexpr std::uint8_t kPunctuation = 8;   // \p{P}
inline constexpr std::uint8_t kSymbol = 16;       // \p{S}
inline constexpr std::uint8_t kUpperLike = 32;    // Lu Lt Lm Lo M
inline constexpr std::uint8_t kLowerLike = 64;    // Ll Lm Lo M
inline constexpr std::uint8_t kWhiteSpace = 128;  // \s: White_Space

// 0x110000 entries, built on first use.
const std::uint8_t* category_bits();
bool is_white_space(char32_t c);
bool is_control(char32_t c);                      // Cc Cf Co Cs, but not tab, line feed, carriage return
bool is_nonspacing_mark(char32_t c);              // Mn
void append_lower(std::string& out, char32_t c);  // full lower case of one character
bool is_word_character(char32_t c);               // \w: letters, marks, decimal digits, connectors

struct Character {
  char32_t code = 0;         // U+FFFD for bytes that are not UTF-8
  std::uint32_t length = 0;  // bytes; 0 at the end of the text
  std::uint8_t bits = 0;
};

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text), bits_(category_bits()) {}

  std::size_t size() const { return text_.size(); }
  std::string_view text() const { return text_; }
  Character at(std::size_t pos) const {
    if (pos >= text_.size()) return {};
    const auto byte = static_cast<unsigned char>(text_[pos]);
    if (byte < 0x80) return {byte, 1, bits_[byte]};
    return decode(pos);
  }
  // First position from `pos` whose character has none (skip) or any (skip_until) of the bits in `mask`.
  std::size_t skip(std::size_t pos, std::uint8_t mask) const {
    for (Character c = at(pos); (c.bits & mask) != 0; c = at(pos)) pos += c.length;
    return pos;
  }
  std::size_t skip_until(std::size_t pos, std::uint8_t mask) const {
    for (Character c = at(pos); c.length != 0 && (c.bits & mask) == 0; c = at(pos)) pos += c.length;
    return pos;
  }

 private:
  Character decode(std::size_t pos) const;

  std::string_view text_;
  const std::uint8_t* bits_;
};

}  // namespace maestrale::text
