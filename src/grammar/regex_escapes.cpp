#include <utf8proc.h>

#include <array>
#include <map>

#include "grammar/regex.h"
#include "grammar/regex_tree.h"

namespace maestrale::grammar {
namespace {

CharSet digits() { return {'0', '9'}; }

CharSet word() {
  CharSet set('0', '9');
  set.add('A', 'Z');
  set.add('a', 'z');
  set.add('_', '_');
  return set;
}

CharSet space() {
  CharSet set('\t', '\r');
  for (const char32_t c : {0x20, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff}) set.add(c, c);
  set.add(0x2000, 0x200a);
  return set;
}

// Unicode's general categories by their short names; a single letter names a group.
const char* const kCategories[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                   "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                   "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
struct LongName {
  std::string_view name, code;
};
constexpr LongName kLongNames[] = {{"Letter", "L"},
                                   {"Lowercase_Letter", "Ll"},
                                   {"Uppercase_Letter", "Lu"},
                                   {"Mark", "M"},
                                   {"Number", "N"},
                                   {"Decimal_Number", "Nd"},
                                   {"digit", "Nd"},
                                   {"Punctuation", "P"},
                                   {"punct", "P"},
                                   {"Symbol", "S"},
                                   {"Separator", "Z"},
                                   {"Space_Separator", "Zs"},
                                   {"Other", "C"},
                                   {"Control", "Cc"}};

bool category_set(std::string_view name, CharSet& set) {
  std::array<bool, std::size(kCategories)> chosen{};
  bool any = false;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    chosen[i] = name == kCategories[i] || (name.size() == 1 && name[0] == kCategories[i][0]);
    any = any || chosen[i];
  }
  const auto inside = [&](char32_t c) {
    return chosen[static_cast<std::size_t>(utf8proc_category(static_cast<utf8proc_int32_t>(c)))];
  };
  for (char32_t c = 0; any && c <= 0x10ffff; ++c) {
    if (!inside(c)) continue;
    const char32_t first = c;
    while (c < 0x10ffff && inside(c + 1)) ++c;
    set.add(first, c);
  }
  return any;
}

}  // namespace

Result<CharSet> RegexParser::escaped_class(char letter, bool& known) {
  known = true;
  switch (letter) {
    case 'd':
      return digits();
    case 'D':
      return digits().inverted();
    case 'w':
      return word();
    case 'W':
      return word().inverted();
    case 's':
      return space();
    case 'S':
      return space().inverted();
    case 'p':
    case 'P':
      return property(letter == 'P');
    default:
      known = false;
      return CharSet();
  }
}

std::string_view short_property_name(std::string_view name) {
  for (const LongName& known : kLongNames) {
    if (known.name == name) return known.code;
  }
  return name;
}

// After the backslash.
Result<CharSet> RegexParser::escape(bool in_bracket) {
  if (at_end()) return wrong("a backslash at the end");
  const char letter = text_[at_];
  if (!in_bracket && (letter == 'b' || letter == 'B')) return unsupported("a word boundary");
  if (letter >= '1' && letter <= '9') return unsupported("a back reference");
  if (letter == 'k') return unsupported("a back reference");
  ++at_;
  bool known = false;
  const CharSet set = TRY(escaped_class(letter, known));
  if (known) return set;
  const char32_t c = TRY(escaped_character(letter));
  return CharSet(c, c);
}

Result<char32_t> RegexParser::escaped_character(char letter) {
  switch (letter) {
    case 't':
      return U'\t';
    case 'n':
      return U'\n';
    case 'v':
      return U'\v';
    case 'f':
      return U'\f';
    case 'r':
      return U'\r';
    case '0':
      return U'\0';
    case 'x':
      return hex(2);
    case 'u':
      return unicode_escape();
    case 'b':
      return U'\b';  // in a bracket; escape() refused it elsewhere
    case 'c':
      if (!at_end() && ((text_[at_] | 0x20) >= 'a' && (text_[at_] | 0x20) <= 'z')) {
        return static_cast<char32_t>(text_[at_++] & 0x1f);
      }
      return wrong("`\\c` without a letter");
    default:
      if (std::string_view("^$\\.*+?()[]{}|/-").find(letter) != std::string_view::npos) {
        return static_cast<char32_t>(letter);
      }
      if (static_cast<unsigned char>(letter) < 0x80 &&
          std::string_view("\"'#%&,:;<=>@_`~! ").find(letter) != std::string_view::npos) {
        return static_cast<char32_t>(letter);  // needless, common, and without a second meaning
      }
      return wrong(std::string("`\\") + letter + "` has no meaning");
  }
}

Result<char32_t> RegexParser::hex(int digits) {
  char32_t value = 0;
  for (int i = 0; i < digits; ++i, ++at_) {
    const char c = at_end() ? ' ' : text_[at_];
    const int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                               : -1;
    if (digit < 0) return wrong("a hexadecimal digit is missing");
    value = value * 16 + static_cast<char32_t>(digit);
  }
  return value;
}

// After `\u`: four digits (two of them for a surrogate pair), or digits in braces.
Result<char32_t> RegexParser::unicode_escape() {
  if (take("{")) {
    char32_t value = 0;
    while (!take("}")) {
      value = value * 16 + TRY(hex(1));
      if (value > 0x10ffff) return wrong("a code point beyond U+10FFFF");
    }
    return value;
  }
  const char32_t first = TRY(hex(4));
  if (first < 0xd800 || first > 0xdfff) return first;
  if (first <= 0xdbff && take("\\u")) {
    const char32_t second = TRY(hex(4));
    if (second >= 0xdc00 && second <= 0xdfff) return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }
  return wrong("half of a surrogate pair");
}

// After `\p` or `\P`.
Result<CharSet> RegexParser::property(bool inverted) {
  const std::size_t close = text_.find('}', at_);
  if (!take("{") || close == std::string_view::npos) return wrong("`\\p` without a name in braces");
  std::string name(text_.substr(at_, close - at_));
  at_ = close + 1;
  for (const char* prefix : {"General_Category=", "gc="}) {
    if (name.starts_with(prefix)) name.erase(0, std::string_view(prefix).size());
  }
  name = short_property_name(name);
  CharSet& set = properties_[name];  // looked through once for each name
  if (set.empty() && !category_set(name, set)) return unsupported("the Unicode property '" + name + "'");
  return inverted ? set.inverted() : set;
}

}  // namespace maestrale::grammar
