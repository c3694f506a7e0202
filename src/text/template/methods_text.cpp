// Methods of strings.
#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "text/template/filters.h"
#include "text/template/methods.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

Result<std::string_view> text_argument(Machine& machine, const Value& argument) {
  if (argument.is_string()) return argument.str();
  if (argument.is_undefined()) return machine.fail(std::string(argument.str()));
  return machine.fail(fmt::format("must be str, not {}", type_name(argument)));
}

template <int sides>
Result<Value> strip(Machine& machine, const Value& self, const Bound& arguments) {
  if (arguments[0].absent() || arguments[0].is_none()) return Value::of(strip_space(self.str(), sides));
  if (!arguments[0].is_string()) return machine.fail("strip arg must be None or str");
  return Value::of(strip_chars(self.str(), arguments[0].str(), sides));
}

Result<Value> strings(Machine& machine, const std::vector<std::string_view>& parts) {
  TRY(machine.charge(parts.size()));
  TRY(machine.room(parts.size() * sizeof(Value)));
  std::vector<Value> values;
  values.reserve(parts.size());
  for (const std::string_view part : parts) values.push_back(Value::of(part));
  return machine.make_list(values);
}

template <bool from_right>
Result<Value> split(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t limit = TRY(integer(machine, arguments[1], -1));
  TRY(machine.charge(self.size / 8));
  if (arguments[0].absent() || arguments[0].is_none()) {
    return strings(machine, from_right ? rsplit_space(self.str(), limit) : split_space(self.str(), limit));
  }
  const std::string_view separator = TRY(text_argument(machine, arguments[0]));
  if (separator.empty()) return machine.fail("empty separator");
  return strings(
      machine, from_right ? rsplit_on(self.str(), separator, limit) : split_on(self.str(), separator, limit));
}

Result<Value> splitlines(Machine& machine, const Value& self, const Bound& arguments) {
  TRY(machine.charge(self.size));
  return strings(machine, split_lines(self.str(), flag(arguments[0])));
}

template <bool from_right>
Result<Value> partition(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view text = self.str();
  const std::string_view separator = TRY(text_argument(machine, arguments[0]));
  if (separator.empty()) return machine.fail("empty separator");
  TRY(machine.charge(self.size / 32));
  const std::size_t at = from_right ? text.rfind(separator) : text.find(separator);
  const Value none = Value::of(std::string_view());
  if (at == text.npos) {
    return from_right ? machine.make_tuple({none, none, self}) : machine.make_tuple({self, none, none});
  }
  return machine.make_tuple(
      {Value::of(text.substr(0, at)), Value::of(separator), Value::of(text.substr(at + separator.size()))});
}

// text[start:end], bounds in code points as in str.find(sub, start, end); `offset` in code points.
struct Part {
  std::string_view text;
  std::size_t offset = 0;
  bool valid = true;  // start lies within the text
};
Result<Part> part_of(Machine& machine, std::string_view text, const Value& start, const Value& end) {
  if (start.absent() && end.absent()) return Part{text};
  TRY(machine.charge(text.size() / 32));
  const auto length = static_cast<std::int64_t>(count_codepoints(text));
  std::int64_t from = TRY(integer(machine, start, 0)), to = TRY(integer(machine, end, length));
  if (from < 0) from = std::max<std::int64_t>(from + length, 0);
  if (to < 0) to = std::max<std::int64_t>(to + length, 0);
  to = std::min(to, length);
  if (from > length || from > to) return Part{{}, static_cast<std::size_t>(std::min(from, length)), false};
  const auto begin = static_cast<std::size_t>(from);
  const std::string_view tail = text.substr(byte_offset(text, begin));
  return Part{tail.substr(0, byte_offset(tail, static_cast<std::size_t>(to - from))), begin};
}

Result<std::int64_t> position(Machine& machine, const Value& self, const Bound& arguments, bool from_right) {
  const std::string_view needle = TRY(text_argument(machine, arguments[0]));
  const Part part = TRY(part_of(machine, self.str(), arguments[1], arguments[2]));
  TRY(machine.charge(part.text.size() / 32));
  if (!part.valid) return std::int64_t{-1};
  const std::size_t at = from_right ? part.text.rfind(needle) : part.text.find(needle);
  if (at == part.text.npos) return std::int64_t{-1};
  return static_cast<std::int64_t>(part.offset + count_codepoints(part.text.substr(0, at)));
}

template <bool from_right>
Result<Value> find(Machine& machine, const Value& self, const Bound& arguments) {
  return Value::of(TRY(position(machine, self, arguments, from_right)));
}
template <bool from_right>
Result<Value> index(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t at = TRY(position(machine, self, arguments, from_right));
  return at < 0 ? machine.fail("substring not found") : Result<Value>(Value::of(at));
}

Result<Value> count(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view needle = TRY(text_argument(machine, arguments[0]));
  const Part part = TRY(part_of(machine, self.str(), arguments[1], arguments[2]));
  TRY(machine.charge(part.text.size() / 16));
  return Value::of(part.valid ? static_cast<std::int64_t>(count_occurrences(part.text, needle))
                              : std::int64_t{0});
}

template <bool at_end>
Result<Value> affix(Machine& machine, const Value& self, const Bound& arguments) {
  const Part part = TRY(part_of(machine, self.str(), arguments[1], arguments[2]));
  const auto matches = [&](std::string_view affix_text) {
    return part.valid && (at_end ? part.text.ends_with(affix_text) : part.text.starts_with(affix_text));
  };
  if (arguments[0].is_string()) return Value::of(matches(arguments[0].str()));
  if (arguments[0].kind == Kind::kTuple) {
    for (const Value& option : arguments[0].elements()) {
      if (matches(TRY(text_argument(machine, option)))) return Value::of(true);
    }
    return Value::of(false);
  }
  return machine.fail(fmt::format("{} first arg must be str or a tuple of str, not {}",
                                  at_end ? "endswith" : "startswith", type_name(arguments[0])));
}

template <bool at_end>
Result<Value> remove_affix(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view affix_text = TRY(text_argument(machine, arguments[0]));
  const std::string_view text = self.str();
  if (at_end && text.ends_with(affix_text)) return Value::of(text.substr(0, text.size() - affix_text.size()));
  if (!at_end && text.starts_with(affix_text)) return Value::of(text.substr(affix_text.size()));
  return self;
}

Result<Value> join(Machine& machine, const Value& self, const Bound& arguments) {
  const auto items = TRY(machine.iterate(arguments[0]));
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    TRY(machine.charge(1));
    if (!items[i].is_string()) {
      return machine.fail(
          fmt::format("sequence item {}: expected str instance, {} found", i, type_name(items[i])));
    }
    if (i > 0) out += self.str();
    out += items[i].str();
    TRY(machine.room(2 * out.size()));
  }
  TRY(machine.charge(out.size() / 64));
  return machine.string(out);
}

Result<Value> replace(Machine& machine, const Value& self, const Bound& arguments) {
  TRY(text_argument(machine, arguments[0]));
  TRY(text_argument(machine, arguments[1]));
  return filter_replace(machine, self, arguments);
}

Result<Value> format(Machine& machine, const Value& self, const Bound& arguments) {
  return format_braces(machine, self.str(), arguments);
}

// ljust, rjust, zfill: side -1 pads on the left.
Result<Value> padded(Machine& machine, std::string_view text, std::int64_t width, std::string_view fill,
                     int side) {
  const auto size = static_cast<std::int64_t>(count_codepoints(text));
  if (width <= size) return Value::of(text);
  const auto missing = static_cast<std::size_t>(width - size);
  TRY(machine.room(missing > SIZE_MAX / 8 ? missing : 4 * missing));
  TRY(machine.charge(missing));
  std::string padding;
  for (std::size_t i = 0; i < missing; ++i) padding += fill;
  return machine.string(side < 0 ? padding + std::string(text) : std::string(text) + padding);
}

template <int side>
Result<Value> justify(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view fill = arguments[1].absent() ? " " : TRY(text_argument(machine, arguments[1]));
  if (count_codepoints(fill) != 1)
    return machine.fail("The fill character must be exactly one character long");
  return padded(machine, self.str(), TRY(integer(machine, arguments[0], 0)), fill, side);
}

Result<Value> zfill(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t width = TRY(integer(machine, arguments[0], 0));
  const std::string_view text = self.str();
  if (text.empty() || (text[0] != '-' && text[0] != '+')) return padded(machine, text, width, "0", -1);
  const Value digits = TRY(padded(machine, text.substr(1), width - 1, "0", -1));
  return machine.string(std::string(1, text[0]) + std::string(digits.str()));
}

template <bool (*predicate)(char32_t)>
Result<Value> all_are(Machine& machine, const Value& self, const Bound&) {
  TRY(machine.charge(self.size));
  for (const std::string_view c : split_codepoints(self.str())) {
    if (!predicate(decode_utf8(c).codepoint)) return Value::of(false);
  }
  return Value::of(self.size > 0);
}

bool is_decimal(char32_t c) { return c < 0x80 ? c >= '0' && c <= '9' : is_numeric(c) && !is_alphabetic(c); }
bool is_alphanumeric(char32_t c) { return is_alphabetic(c) || is_numeric(c); }
bool is_ascii(char32_t c) { return c < 0x80; }

Result<Value> title(Machine& machine, const Value& self, const Bound&) {
  TRY(machine.charge(self.size / 8));
  TRY(machine.room(3 * self.size));
  return machine.string(to_title(self.str()));
}

Result<Value> swapcase(Machine& machine, const Value& self, const Bound&) {
  TRY(machine.charge(self.size));
  TRY(machine.room(3 * self.size));
  std::string out;
  for (const std::string_view c : split_codepoints(self.str())) {
    out += is_upper(decode_utf8(c).codepoint) ? to_lower(c) : to_upper(c);
  }
  return machine.string(out);
}

Result<Value> case_test(Machine& machine, const Value& self, std::string_view name) {
  return Value::of(TRY(machine.test(name, self, {})));
}
Result<Value> isupper(Machine& machine, const Value& self, const Bound&) {
  return case_test(machine, self, "upper");
}
Result<Value> islower(Machine& machine, const Value& self, const Bound&) {
  return case_test(machine, self, "lower");
}

constexpr Builtin kMethods[] = {
    {"strip", "chars?", strip<3>},
    {"lstrip", "chars?", strip<1>},
    {"rstrip", "chars?", strip<2>},
    {"split", "sep? maxsplit?", split<false>},
    {"rsplit", "sep? maxsplit?", split<true>},
    {"splitlines", "keepends?", splitlines},
    {"partition", "sep", partition<false>},
    {"rpartition", "sep", partition<true>},
    {"find", "sub start? end?", find<false>},
    {"rfind", "sub start? end?", find<true>},
    {"index", "sub start? end?", index<false>},
    {"rindex", "sub start? end?", index<true>},
    {"count", "sub start? end?", count},
    {"startswith", "prefix start? end?", affix<false>},
    {"endswith", "suffix start? end?", affix<true>},
    {"removeprefix", "prefix", remove_affix<false>},
    {"removesuffix", "suffix", remove_affix<true>},
    {"join", "iterable", join},
    {"replace", "old new count?", replace},
    {"format", "* **", format},
    {"upper", "", filter_upper},
    {"lower", "", filter_lower},
    {"casefold", "", filter_lower},
    {"capitalize", "", filter_capitalize},
    {"title", "", title},
    {"swapcase", "", swapcase},
    {"center", "width", filter_center},
    {"ljust", "width fillchar?", justify<1>},
    {"rjust", "width fillchar?", justify<-1>},
    {"zfill", "width", zfill},
    {"isdigit", "", all_are<is_decimal>},
    {"isdecimal", "", all_are<is_decimal>},
    {"isnumeric", "", all_are<is_numeric>},
    {"isalpha", "", all_are<is_alphabetic>},
    {"isalnum", "", all_are<is_alphanumeric>},
    {"isspace", "", all_are<is_space>},
    {"isascii", "", all_are<is_ascii>},
    {"isupper", "", isupper},
    {"islower", "", islower},
};

}  // namespace

std::span<const Builtin> string_methods() { return kMethods; }

}  // namespace maestrale::text::jinja
