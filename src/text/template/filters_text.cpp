// Filters on text.
#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "text/template/filters.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

Result<Value> converted(Machine& machine, const Value& self, std::string (*convert)(std::string_view)) {
  const std::string_view text = TRY(machine.str(self));
  TRY(machine.charge(text.size() / 8));
  TRY(machine.room(3 * text.size()));
  return machine.string(convert(text));
}

}  // namespace

Result<Value> filter_upper(Machine& machine, const Value& self, const Bound&) {
  return converted(machine, self, to_upper);
}
Result<Value> filter_lower(Machine& machine, const Value& self, const Bound&) {
  return converted(machine, self, to_lower);
}
Result<Value> filter_capitalize(Machine& machine, const Value& self, const Bound&) {
  return converted(machine, self, to_capitalized);
}

// Words start behind white space, "-", "(", "{", "[", "<".
Result<Value> filter_title(Machine& machine, const Value& self, const Bound&) {
  const std::string_view text = TRY(machine.str(self));
  TRY(machine.charge(text.size() / 8));
  TRY(machine.room(3 * text.size()));
  std::string out, word;
  const auto flush = [&] {
    const std::size_t first = byte_offset(word, 1);
    out += to_upper(std::string_view(word).substr(0, first)) + to_lower(std::string_view(word).substr(first));
    word.clear();
  };
  for (const std::string_view c : split_codepoints(text)) {
    const char32_t codepoint = decode_utf8(c).codepoint;
    if (is_space(codepoint) || std::string_view("-({[<").find(c) != std::string_view::npos) {
      flush();
      out += c;
    } else {
      word += c;
    }
  }
  flush();
  return machine.string(out);
}

Result<Value> filter_trim(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view text = TRY(machine.str(self));
  if (arguments[0].absent() || arguments[0].is_none()) return Value::of(strip_space(text, 3));
  if (!arguments[0].is_string()) return machine.fail("strip arg must be None or str");
  return Value::of(strip_chars(text, arguments[0].str(), 3));
}

Result<Value> filter_replace(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view text = TRY(machine.str(self));
  const std::string_view from = TRY(machine.str(arguments[0]));
  const std::string_view to = TRY(machine.str(arguments[1]));
  const std::int64_t limit = TRY(integer(machine, arguments[2], -1));
  TRY(machine.charge(text.size() / 16));
  std::size_t times = count_occurrences(text, from);
  if (limit >= 0) times = std::min(times, static_cast<std::size_t>(limit));
  std::size_t growth = 0;
  if (__builtin_mul_overflow(times, to.size(), &growth)) growth = SIZE_MAX / 4;
  TRY(machine.room(text.size() + growth));
  TRY(machine.charge(growth / 64));
  return machine.string(replace_all(text, from, to, limit));
}

Result<Value> filter_indent(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view text = TRY(machine.str(self));
  std::string indention(4, ' ');
  if (arguments[0].is_string()) {
    indention = arguments[0].str();
  } else {
    const std::int64_t width = TRY(integer(machine, arguments[0], 4));
    TRY(machine.room(static_cast<std::size_t>(std::max<std::int64_t>(width, 0))));
    indention.assign(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  }
  const bool first = flag(arguments[1]), blank = flag(arguments[2]);
  const std::string ended = std::string(text) + "\n";
  const auto lines = split_lines(ended, false);
  std::size_t growth = 0;
  if (__builtin_mul_overflow(lines.size(), indention.size() + 1, &growth)) growth = SIZE_MAX / 4;
  TRY(machine.room(text.size() + growth));
  TRY(machine.charge((text.size() + growth) / 16));
  std::string out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i == 0 ? first : blank || !lines[i].empty()) out += indention;
    out += lines[i];
  }
  return machine.string(out);
}

Result<Value> filter_truncate(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view text = TRY(machine.str(self));
  const std::int64_t length = TRY(integer(machine, arguments[0], 255));
  const std::string_view end = arguments[2].absent() ? "..." : TRY(machine.str(arguments[2]));
  const std::int64_t leeway = TRY(integer(machine, arguments[3], 5));
  const auto end_length = static_cast<std::int64_t>(count_codepoints(end));
  TRY(machine.charge(text.size() / 16));
  if (length < end_length)
    return machine.fail(fmt::format("expected length >= {}, got {}", end_length, length));
  if (leeway < 0) return machine.fail(fmt::format("expected leeway >= 0, got {}", leeway));
  if (static_cast<std::int64_t>(count_codepoints(text)) <= length + leeway) return Value::of(text);
  std::string_view kept = text.substr(0, byte_offset(text, static_cast<std::size_t>(length - end_length)));
  if (!flag(arguments[1])) kept = kept.substr(0, std::min(kept.rfind(' '), kept.size()));
  return Value::of(machine.arena().append(machine.arena().copy(kept), end));
}

Result<Value> filter_wordcount(Machine& machine, const Value& self, const Bound&) {
  const std::string_view text = TRY(machine.str(self));
  TRY(machine.charge(text.size()));
  std::int64_t words = 0;
  bool inside = false;
  for (const std::string_view c : split_codepoints(text)) {
    const char32_t codepoint = decode_utf8(c).codepoint;
    const bool word = is_alphabetic(codepoint) || codepoint == '_' || is_numeric(codepoint);
    words += word && !inside;
    inside = word;
  }
  return Value::of(words);
}

Result<Value> filter_center(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view text = TRY(machine.str(self));
  const std::int64_t width = TRY(integer(machine, arguments[0], 80));
  const auto size = static_cast<std::int64_t>(count_codepoints(text));
  if (width <= size) return Value::of(text);
  const auto missing = static_cast<std::size_t>(width - size);
  TRY(machine.room(text.size() + missing));
  TRY(machine.charge(missing / 64));
  const std::size_t left = missing / 2 + (missing & static_cast<std::size_t>(width) & 1);
  return machine.string(std::string(left, ' ') + std::string(text) + std::string(missing - left, ' '));
}

Result<Value> filter_escape(Machine& machine, const Value& self, const Bound&) {
  const std::string_view text = TRY(machine.str(self));
  TRY(machine.charge(text.size() / 8));
  TRY(machine.room(5 * text.size()));
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return machine.string(out);
}

namespace {
void append_quoted(std::string& out, std::string_view text, bool for_query) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        is_ascii_letter(byte) || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-' || c == '~';
    if (plain || (c == '/' && !for_query)) {
      out += c;
    } else if (c == ' ' && for_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
}
}  // namespace

Result<Value> filter_urlencode(Machine& machine, const Value& self, const Bound&) {
  std::string out;
  if (!self.is_dict() && (self.is_string() || !self.is_sequence())) {
    const std::string_view text = TRY(machine.str(self));
    TRY(machine.room(3 * text.size()));
    TRY(machine.charge(text.size() / 8));
    append_quoted(out, text, false);
    return machine.string(out);
  }
  const auto add = [&](const Value& key, const Value& value) -> Status {
    const std::string_view name = TRY(machine.str(key)), text = TRY(machine.str(value));
    TRY(machine.room(out.size() + 3 * (name.size() + text.size())));
    TRY(machine.charge(1 + (name.size() + text.size()) / 8));
    if (!out.empty()) out += '&';
    append_quoted(out, name, true);
    out += '=';
    append_quoted(out, text, true);
    return {};
  };
  if (self.is_dict()) {
    for (const Entry& entry : self.dict->all()) TRY(add(entry.key, entry.value));
  } else {
    for (const Value& pair : self.elements()) {
      const auto parts = TRY(machine.iterate(pair));
      if (parts.size() != 2) return machine.fail("urlencode takes a string, a mapping or pairs");
      TRY(add(parts[0], parts[1]));
    }
  }
  return machine.string(out);
}

Result<Value> filter_format(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view format = TRY(machine.str(self));
  if (!arguments.rest.empty() && !arguments.named.empty()) {
    return machine.fail("can't handle positional and keyword arguments at the same time");
  }
  if (arguments.named.empty()) return format_percent(machine, format, Value::tuple(arguments.rest));
  DictBuilder builder(machine.arena());
  for (const NamedValue& named : arguments.named) builder.set(Value::of(named.name), named.value);
  return format_percent(machine, format, Value::of(builder.finish()));
}

Result<Value> filter_string(Machine& machine, const Value& self, const Bound&) {
  return Value::of(TRY(machine.str(self)));
}

}  // namespace maestrale::text::jinja
