#include "text/tokenizer/unicode.h"

#include <utf8proc.h>

#include <vector>

#include "base/utf8.h"

namespace maestrale::text {
namespace {

constexpr char32_t kCodePoints = 0x110000;

std::uint8_t bits_of_category(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return kLetter | kUpperLike;
    case UTF8PROC_CATEGORY_LL:
      return kLetter | kLowerLike;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kLetter | kUpperLike | kLowerLike;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark | kUpperLike | kLowerLike;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return kSymbol;
    default:
      return 0;
  }
}

utf8proc_category_t category_of(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

std::vector<std::uint8_t> build_category_bits() {
  std::vector<std::uint8_t> bits(kCodePoints);
  for (char32_t c = 0; c < kCodePoints; ++c) {
    bits[c] =
        static_cast<std::uint8_t>(bits_of_category(category_of(c)) | (is_white_space(c) ? kWhiteSpace : 0));
  }
  return bits;
}

}  // namespace

const std::uint8_t* category_bits() {
  static const std::vector<std::uint8_t> bits = build_category_bits();
  return bits.data();
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_control(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const utf8proc_category_t category = category_of(c);
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CO || category == UTF8PROC_CATEGORY_CS;
}

bool is_nonspacing_mark(char32_t c) { return category_of(c) == UTF8PROC_CATEGORY_MN; }

void append_lower(std::string& out, char32_t c) {
  if (c == 0x130) {  // the only character whose full lower case is two characters
    append_utf8(out, 'i');
    append_utf8(out, 0x307);
    return;
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

bool is_word_character(char32_t c) {
  const utf8proc_category_t category = category_of(c);
  return (category_bits()[c] & (kLetter | kMark)) != 0 || category == UTF8PROC_CATEGORY_ND ||
         category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_PC;
}

Character Scanner::decode(std::size_t pos) const {
  const DecodedCodepoint decoded = decode_utf8(text_.substr(pos));
  const auto length = static_cast<std::uint32_t>(decoded.length);
  return {decoded.codepoint, length, decoded.valid ? bits_[decoded.codepoint] : std::uint8_t{0}};
}

}  // namespace maestrale::text
