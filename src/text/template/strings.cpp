#include "text/template/strings.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"

namespace maestrale::text::jinja {
namespace {

utf8proc_int32_t code(char32_t c) { return static_cast<utf8proc_int32_t>(c); }

// Start of the code point that ends at `end`.
std::size_t codepoint_before(std::string_view text, std::size_t end) {
  std::size_t i = end - 1;
  while (i > 0 && end - i < 4 && (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) --i;
  return i;
}

char32_t codepoint_at(std::string_view text, std::size_t at) {
  return decode_utf8(text.substr(at)).codepoint;
}

// \x, \u, \U: `digits` hexadecimal digits behind the letter at `at`.
Result<std::size_t> unescape_hex(std::string_view text, std::size_t at, std::size_t digits,
                                 std::string& out) {
  char32_t value = 0;
  for (std::size_t i = at + 1; i <= at + digits; ++i) {
    const char c = i < text.size() ? text[i] : 'x';
    const char* const kDigits = "0123456789abcdef";
    const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    const std::string_view all(kDigits, 16);
    const std::size_t digit = all.find(lower);
    if (digit == all.npos) return Error{.what = fmt::format("truncated \\{} escape in a string", text[at])};
    value = value * 16 + static_cast<char32_t>(digit);
  }
  if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
    return Error{.what = fmt::format("the escape \\{} in a string names no character", text[at])};
  }
  append_utf8(out, value);
  return at + digits + 1;
}

}  // namespace

bool is_ascii_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_alphabetic(char32_t c) {
  if (c < 0x80) return is_ascii_letter(c);
  const auto category = utf8proc_category(code(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_name_continue(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto category = utf8proc_category(code(c));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
         category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_PC;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto category = utf8proc_category(code(c));
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_upper(char32_t c) {
  return c < 0x80 ? c >= 'A' && c <= 'Z' : utf8proc_category(code(c)) == UTF8PROC_CATEGORY_LU;
}
bool is_lower(char32_t c) {
  return c < 0x80 ? c >= 'a' && c <= 'z' : utf8proc_category(code(c)) == UTF8PROC_CATEGORY_LL;
}

std::size_t end_of_space(std::string_view text, std::size_t from) {
  while (from < text.size()) {
    const DecodedCodepoint c = decode_utf8(text.substr(from));
    if (!is_space(c.codepoint)) break;
    from += static_cast<std::size_t>(c.length);
  }
  return from;
}

std::size_t end_without_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t before = codepoint_before(text, end);
    if (!is_space(codepoint_at(text, before))) break;
    end = before;
  }
  return end;
}

Result<std::size_t> unescape(std::string_view text, std::size_t at, std::string& out) {
  if (at + 1 >= text.size()) return Error{.what = "unexpected end of template inside a string"};
  static constexpr std::string_view kLetters = "nrtabfv0\\'\"\n";
  const char c = text[at + 1];
  if (c >= '0' && c <= '7') {
    unsigned value = 0;
    std::size_t i = at + 1;
    for (; i < std::min(at + 4, text.size()) && text[i] >= '0' && text[i] <= '7'; ++i) {
      value = value * 8 + static_cast<unsigned>(text[i] - '0');
    }
    append_utf8(out, value);
    return i;
  }
  if (c == 'x') return unescape_hex(text, at + 1, 2, out);
  if (c == 'u') return unescape_hex(text, at + 1, 4, out);
  if (c == 'U') return unescape_hex(text, at + 1, 8, out);
  if (c == 'N') return Error{.what = "escapes by character name (\\N{...}) are not supported"};
  const std::size_t known = kLetters.find(c);
  if (known == kLetters.npos) {
    out += '\\';
    return at + 1;
  }
  if (c != '\n') out += std::string_view("\n\r\t\a\b\f\v\0\\'\"", 11)[known];
  return at + 2;
}

std::size_t count_codepoints(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

std::size_t byte_offset(std::string_view text, std::size_t index) {
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) continue;
    if (index-- == 0) return i;
  }
  return i;
}

std::vector<std::string_view> split_codepoints(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    std::size_t end = 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

std::string_view strip_space(std::string_view text, int sides) {
  if ((sides & 2) != 0) text = text.substr(0, end_without_space(text));
  if ((sides & 1) != 0) text.remove_prefix(end_of_space(text, 0));
  return text;
}

std::string_view strip_chars(std::string_view text, std::string_view characters, int sides) {
  const auto contains = [&](std::string_view c) { return characters.find(c) != characters.npos; };
  while ((sides & 1) != 0 && !text.empty()) {
    const auto first = text.substr(0, byte_offset(text, 1));
    if (!contains(first)) break;
    text.remove_prefix(first.size());
  }
  while ((sides & 2) != 0 && !text.empty()) {
    const std::size_t before = codepoint_before(text, text.size());
    if (!contains(text.substr(before))) break;
    text = text.substr(0, before);
  }
  return text;
}

std::vector<std::string_view> split_space(std::string_view text, std::int64_t limit) {
  std::vector<std::string_view> out;
  std::size_t at = end_of_space(text, 0);
  while (at < text.size()) {
    if (limit >= 0 && static_cast<std::int64_t>(out.size()) >= limit) {
      out.push_back(strip_space(text.substr(at), 2));
      break;
    }
    std::size_t end = at;
    while (end < text.size()) {
      const DecodedCodepoint c = decode_utf8(text.substr(end));
      if (is_space(c.codepoint)) break;
      end += static_cast<std::size_t>(c.length);
    }
    out.push_back(text.substr(at, end - at));
    at = end_of_space(text, end);
  }
  return out;
}

std::vector<std::string_view> rsplit_space(std::string_view text, std::int64_t limit) {
  std::vector<std::string_view> out;
  text = strip_space(text, 2);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<std::int64_t>(out.size()) >= limit) {
      out.push_back(strip_space(text, 1));
      break;
    }
    std::size_t start = text.size();
    while (start > 0) {
      const std::size_t before = codepoint_before(text, start);
      if (is_space(codepoint_at(text, before))) break;
      start = before;
    }
    out.push_back(text.substr(start));
    text = strip_space(text.substr(0, start), 2);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_on(std::string_view text, std::string_view separator,
                                       std::int64_t limit) {
  std::vector<std::string_view> out;
  while (limit < 0 || static_cast<std::int64_t>(out.size()) < limit) {
    const std::size_t at = text.find(separator);
    if (at == text.npos) break;
    out.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  out.push_back(text);
  return out;
}

std::vector<std::string_view> rsplit_on(std::string_view text, std::string_view separator,
                                        std::int64_t limit) {
  std::vector<std::string_view> out;
  while (limit < 0 || static_cast<std::int64_t>(out.size()) < limit) {
    const std::size_t at = text.rfind(separator);
    if (at == text.npos) break;
    out.push_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
  }
  out.push_back(text);
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> out;
  const auto ends_line = [](char32_t c) {
    return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size();) {
    const DecodedCodepoint c = decode_utf8(text.substr(i));
    std::size_t next = i + static_cast<std::size_t>(c.length);
    if (ends_line(c.codepoint)) {
      if (c.codepoint == '\r' && next < text.size() && text[next] == '\n') ++next;
      out.push_back(text.substr(start, (keep_ends ? next : i) - start));
      start = next;
    }
    i = next;
  }
  if (start < text.size()) out.push_back(text.substr(start));
  return out;
}

std::size_t count_occurrences(std::string_view text, std::string_view needle) {
  if (needle.empty()) return count_codepoints(text) + 1;
  std::size_t count = 0;
  for (std::size_t at = text.find(needle); at != text.npos; at = text.find(needle, at + needle.size()))
    ++count;
  return count;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to,
                        std::int64_t limit) {
  std::string out;
  std::int64_t done = 0;
  if (from.empty()) {
    for (const std::string_view c : split_codepoints(text)) {
      if (limit < 0 || done++ < limit) out += to;
      out += c;
    }
    if (limit < 0 || done < limit) out += to;
    return out;
  }
  while (limit < 0 || done < limit) {
    const std::size_t at = text.find(from);
    if (at == text.npos) break;
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
    ++done;
  }
  out += text;
  return out;
}

}  // namespace maestrale::text::jinja
