// How values print: Python's str() and repr().
#include <fmt/format.h>
#include <utf8proc.h>

#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "text/template/machine.h"
#include "text/template/value.h"

namespace maestrale::text::jinja {
namespace {

bool printable(char32_t c) {
  if (c < 0x7f) return c >= 0x20;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

void append_escaped(std::string& out, char32_t c, std::string_view bytes, char quote) {
  if (c == '\n') {
    out += "\\n";
  } else if (c == '\r') {
    out += "\\r";
  } else if (c == '\t') {
    out += "\\t";
  } else if (c == '\\' || c == static_cast<unsigned char>(quote)) {
    out += '\\';
    out += static_cast<char>(c);
  } else if (printable(c)) {
    out += bytes;
  } else if (c <= 0xff) {
    out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
  } else if (c <= 0xffff) {
    out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
  } else {
    out += fmt::format("\\U{:08x}", static_cast<unsigned>(c));
  }
}

void append_items(std::string& out, std::span<const Value> items, std::size_t limit, int depth) {
  bool first = true;
  for (const Value& item : items) {
    if (out.size() > limit) return;
    if (!first) out += ", ";
    first = false;
    append_repr(out, item, limit, depth + 1);
  }
}

void append_entries(std::string& out, std::span<const Entry> entries, std::size_t limit, int depth) {
  out += '{';
  bool first = true;
  for (const Entry& entry : entries) {
    if (out.size() > limit) return;
    if (!first) out += ", ";
    first = false;
    append_repr(out, entry.key, limit, depth + 1);
    out += ": ";
    append_repr(out, entry.value, limit, depth + 1);
  }
  out += '}';
}

void append_view(std::string& out, const View& view, std::size_t limit, int depth) {
  switch (view.kind) {
    case ViewKind::kRange:
      out += fmt::format("range({}, {}", view.start, view.stop);
      if (view.step != 1) out += fmt::format(", {}", view.step);
      out += ')';
      return;
    case ViewKind::kGenerator:
      out += "<generator object>";
      return;
    case ViewKind::kReversed:
      out += "<list_reverseiterator object>";
      return;
    default:
      out += type_name(Value::of(const_cast<View*>(&view)));
      out += "([";
      append_items(out, view.items, limit, depth);
      out += "])";
  }
}

void append_function(std::string& out, const Function& function) {
  if (function.macro != nullptr) {
    out += "<Macro ";
    append_string_repr(out, function.name);
    out += '>';
  } else {
    out += fmt::format("<function {}>", function.name);
  }
}

}  // namespace

void append_string_repr(std::string& out, std::string_view text) {
  const bool single = text.find('\'') != text.npos;
  const bool twice = text.find('"') != text.npos;
  const char quote = single && !twice ? '"' : '\'';
  out += quote;
  while (!text.empty()) {
    const DecodedCodepoint c = decode_utf8(text);
    const std::string_view bytes = text.substr(0, static_cast<std::size_t>(c.length));
    append_escaped(out, c.codepoint, bytes, quote);
    text.remove_prefix(bytes.size());
  }
  out += quote;
}

void append_float(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "nan";
    return;
  }
  if (std::isinf(value)) {
    out += value < 0 ? "-inf" : "inf";
    return;
  }
  // Shortest digits that read back as the same number: d[.ddd]e±xx.
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view digits(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = digits.find('e');
  int exponent = 0;
  const char* from = digits.data() + e + 1 + (digits[e + 1] == '+' ? 1 : 0);
  std::from_chars(from, end, exponent);
  std::string mantissa;
  if (digits.front() == '-') {
    out += '-';
    digits.remove_prefix(1);
  }
  for (const char c : digits.substr(0, digits.find('e'))) {
    if (c != '.') mantissa += c;
  }
  if (exponent < -4 || exponent >= 16) {
    out += mantissa[0];
    if (mantissa.size() > 1) out += "." + mantissa.substr(1);
    out += fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  } else if (exponent < 0) {
    out += "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + mantissa;
  } else {
    const std::size_t whole = static_cast<std::size_t>(exponent) + 1;
    if (mantissa.size() < whole + 1) mantissa.append(whole + 1 - mantissa.size(), '0');
    out += mantissa.substr(0, whole) + "." + mantissa.substr(whole);
  }
}

void append_str(std::string& out, const Value& value, std::size_t limit) {
  if (value.is_string()) {
    out += value.str();
  } else if (!value.is_undefined()) {
    append_repr(out, value, limit, 0);
  }
}

void append_repr(std::string& out, const Value& value, std::size_t limit, int depth) {
  if (depth > kMaxDataDepth) {
    out += "...";
    return;
  }
  switch (value.kind) {
    case Kind::kAbsent:
    case Kind::kUndefined:
      out += "Undefined";
      return;
    case Kind::kNone:
      out += "None";
      return;
    case Kind::kBool:
      out += value.boolean ? "True" : "False";
      return;
    case Kind::kInt:
      out += std::to_string(value.integer);
      return;
    case Kind::kFloat:
      append_float(out, value.real);
      return;
    case Kind::kString:
      append_string_repr(out, value.str());
      return;
    case Kind::kList:
      out += '[';
      append_items(out, value.elements(), limit, depth);
      out += ']';
      return;
    case Kind::kTuple:
      out += '(';
      append_items(out, value.elements(), limit, depth);
      out += value.size == 1 ? ",)" : ")";
      return;
    case Kind::kDict:
      append_entries(out, value.dict->all(), limit, depth);
      return;
    case Kind::kView:
      append_view(out, *value.view, limit, depth);
      return;
    case Kind::kNamespace:
      out += "<Namespace ";
      append_entries(out, {value.names->entries.data, value.names->entries.size}, limit, depth);
      out += '>';
      return;
    case Kind::kFunction:
      append_function(out, *value.function);
      return;
    case Kind::kLoop:
      out += fmt::format("<LoopContext {}/{}>", value.loop->index + 1, value.loop->size());
      return;
    case Kind::kCycler:
      out += "<Cycler object>";
      return;
    case Kind::kJoiner:
      out += "<Joiner object>";
      return;
  }
}

}  // namespace maestrale::text::jinja
