// Upper, lower and title case as Python's str has them: Unicode's simple mappings, the special ones of the
// Latin script and the final sigma.
#include <utf8proc.h>

#include "base/utf8.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

struct SpecialCase {
  char32_t codepoint;
  std::string_view upper, title;
};
constexpr SpecialCase kSpecialCases[] = {
    {0xdf, "SS", "Ss"},
    {0x149, "\u02bcN", "\u02bcN"},
    {0x1f0, "J\u030c", "J\u030c"},
    {0xfb00, "FF", "Ff"},
    {0xfb01, "FI", "Fi"},
    {0xfb02, "FL", "Fl"},
    {0xfb03, "FFI", "Ffi"},
    {0xfb04, "FFL", "Ffl"},
    {0xfb05, "ST", "St"},
    {0xfb06, "ST", "St"},
    {0x587, "\u0535\u0552", "\u0535\u0582"},
};

const SpecialCase* special(char32_t c) {
  if (c < 0xdf) return nullptr;
  for (const SpecialCase& entry : kSpecialCases) {
    if (entry.codepoint == c) return &entry;
  }
  return nullptr;
}

bool cased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT;
}

void append_upper(std::string& out, char32_t c) {
  if (const SpecialCase* entry = special(c)) {
    out += entry->upper;
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_title(std::string& out, char32_t c) {
  if (const SpecialCase* entry = special(c)) {
    out += entry->title;
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

// `after_letter`: the capital sigma ends a word if a letter stands before it and none behind.
void append_lower(std::string& out, char32_t c, bool after_letter, std::string_view rest) {
  if (c == 0x130) {
    out += "i\u0307";
  } else if (c == 0x3a3) {
    const bool before_letter = !rest.empty() && cased(decode_utf8(rest).codepoint);
    append_utf8(out, after_letter && !before_letter ? 0x3c2 : 0x3c3);
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

enum class Case { kUpper, kLower, kCapitalized, kTitle };

std::string convert(std::string_view text, Case target) {
  std::string out;
  out.reserve(text.size());
  bool after_letter = false;
  bool first = true;
  while (!text.empty()) {
    const DecodedCodepoint c = decode_utf8(text);
    text.remove_prefix(static_cast<std::size_t>(c.length));
    if (target == Case::kUpper) {
      append_upper(out, c.codepoint);
    } else if ((target == Case::kCapitalized && first) || (target == Case::kTitle && !after_letter)) {
      append_title(out, c.codepoint);
    } else {
      append_lower(out, c.codepoint, after_letter, text);
    }
    after_letter = cased(c.codepoint);
    first = false;
  }
  return out;
}

}  // namespace

std::string to_upper(std::string_view text) { return convert(text, Case::kUpper); }
std::string to_lower(std::string_view text) { return convert(text, Case::kLower); }
std::string to_capitalized(std::string_view text) { return convert(text, Case::kCapitalized); }
std::string to_title(std::string_view text) { return convert(text, Case::kTitle); }
std::string to_folded(std::string_view text) { return convert(text, Case::kLower); }

}  // namespace maestrale::text::jinja
