// "…" % values and "…".format(values): the conversions and the format specification for strings and numbers.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "text/template/machine.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

constexpr std::size_t kMaxWidth = 100'000;

struct Spec {
  std::string fill = " ";
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false, grouped = false;
  std::size_t width = 0;
  int precision = -1;
  char type = 0;
};

std::string group_thousands(const std::string& digits) {
  const std::size_t whole = std::min(digits.find_first_of(".e"), digits.size());
  std::string out;
  for (std::size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out + digits.substr(whole);
}

std::string pad(const Spec& spec, const std::string& prefix, std::string body, char default_align) {
  const std::size_t used = count_codepoints(prefix) + count_codepoints(body);
  if (used >= spec.width) return prefix + body;
  const std::size_t missing = spec.width - used;
  const char align = spec.align != 0 ? spec.align : default_align;
  const auto fill = [&](std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  if (align == '<') return prefix + body + fill(missing);
  if (align == '^') return fill(missing / 2) + prefix + body + fill(missing - missing / 2);
  if (align == '=') return prefix + fill(missing) + body;
  return fill(missing) + prefix + body;
}

std::string sign_of(bool negative, char sign) {
  return negative ? "-" : sign == '-' ? "" : std::string(1, sign);
}

// Digits of |value| in the float presentation `type`; 'r' is repr.
std::string float_digits(double value, char type, int precision, bool alternate) {
  value = std::fabs(value);
  const bool upper = type == 'F' || type == 'E' || type == 'G';
  if (!std::isfinite(value)) {
    const char* name = std::isnan(value) ? "nan" : "inf";
    return upper ? to_upper(name) : name;
  }
  if (type == 'r') {
    std::string out;
    append_float(out, value);
    return out;
  }
  const char lower = static_cast<char>(upper ? type + 32 : type);
  if (precision < 0) precision = 6;
  std::string out = lower == 'f'   ? fmt::format("{:.{}f}", value, precision)
                    : lower == 'e' ? fmt::format("{:.{}e}", value, precision)
                    : alternate    ? fmt::format("{:#.{}g}", value, precision)
                                   : fmt::format("{:.{}g}", value, precision);
  return upper ? to_upper(out) : out;
}

std::string integer_digits(std::int64_t value, char type) {
  const std::uint64_t magnitude =
      value < 0 ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
  switch (type) {
    case 'x':
      return fmt::format("{:x}", magnitude);
    case 'X':
      return fmt::format("{:X}", magnitude);
    case 'o':
      return fmt::format("{:o}", magnitude);
    case 'b':
      return fmt::format("{:b}", magnitude);
    default:
      return fmt::format("{}", magnitude);
  }
}

std::string radix_prefix(const Spec& spec) {
  return spec.alternate && std::string_view("xXob").find(spec.type) != std::string_view::npos
             ? std::string("0") + spec.type
             : std::string();
}

Result<std::string> format_number(Machine& machine, const Value& value, Spec spec) {
  const bool integer = value.is_integral();
  std::string suffix;
  if (spec.type == 'c' && integer)
    return machine.fail("the format code 'c' is not supported", ErrorKind::kUnsupported);
  if (integer &&
      std::string_view("dxXobn").find(spec.type == 0 ? 'd' : spec.type) != std::string_view::npos) {
    std::string digits = integer_digits(value.as_int(), spec.type);
    if (spec.grouped) digits = group_thousands(digits);
    return pad(spec, sign_of(value.as_int() < 0, spec.sign) + radix_prefix(spec), digits, '>');
  }
  double real = value.as_double();
  char type = spec.type == 0 ? (spec.precision < 0 ? 'r' : 'g') : spec.type;
  if (type == '%') {
    real *= 100;
    type = 'f';
    suffix = "%";
  }
  if (std::string_view("eEfFgGr").find(type) == std::string_view::npos) {
    return machine.fail(
        fmt::format("Unknown format code '{}' for object of type '{}'", spec.type, type_name(value)));
  }
  std::string digits = float_digits(real, type, spec.precision, spec.alternate);
  if (spec.grouped) digits = group_thousands(digits);
  return pad(spec, sign_of(std::signbit(real) && !std::isnan(real), spec.sign), digits + suffix, '>');
}

Result<std::string> apply_spec(Machine& machine, const Value& value, const Spec& spec) {
  if (value.is_number() && !(value.kind == Kind::kBool && spec.type == 0))
    return format_number(machine, value, spec);
  if (spec.type != 0 && spec.type != 's') {
    return machine.fail(
        fmt::format("Unknown format code '{}' for object of type '{}'", spec.type, type_name(value)));
  }
  std::string_view text = TRY(machine.str(value));
  if (spec.precision >= 0) text = text.substr(0, byte_offset(text, static_cast<std::size_t>(spec.precision)));
  return pad(spec, {}, std::string(text), '<');
}

// Reads a decimal number at `at`; refuses absurd ones.
Result<std::size_t> read_number(Machine& machine, std::string_view text, std::size_t& at) {
  std::size_t number = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    number = number * 10 + static_cast<std::size_t>(text[at++] - '0');
    if (number > kMaxWidth) {
      return machine.fail(fmt::format("a format width beyond {}", kMaxWidth), ErrorKind::kResource);
    }
  }
  return number;
}

// [[fill]align][sign][#][0][width][,][.precision][type]
Result<Spec> read_spec(Machine& machine, std::string_view text) {
  Spec spec;
  std::size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const std::size_t first = byte_offset(text, 1);
  if (text.size() > first && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    at = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    at = 1;
  }
  const auto take = [&](char c) { return at < text.size() && text[at] == c ? (++at, true) : false; };
  if (at < text.size() && (text[at] == '+' || text[at] == '-' || text[at] == ' ')) spec.sign = text[at++];
  spec.alternate = take('#');
  if (take('0') && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = TRY(read_number(machine, text, at));
  spec.grouped = take(',');
  if (take('.')) spec.precision = static_cast<int>(TRY(read_number(machine, text, at)));
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) return machine.fail(fmt::format("Invalid format specifier '{}'", text));
  return spec;
}

class PercentFormatter {
 public:
  PercentFormatter(Machine& machine, const Value& arguments) : machine_(machine), arguments_(arguments) {
    tuple_ = arguments.kind == Kind::kTuple;
  }

  Result<Value> run(std::string_view format) {
    std::string out;
    for (std::size_t at = 0; at < format.size();) {
      const std::size_t percent = std::min(format.find('%', at), format.size());
      out += format.substr(at, percent - at);
      at = percent;
      if (at == format.size()) break;
      out += TRY(conversion(format, ++at));
      TRY(machine_.room(out.size()));
    }
    const bool all_used = !tuple_ ? used_ > 0 || arguments_.is_dict() || keyed_ : used_ == arguments_.size;
    if (!all_used && !(arguments_.is_sequence() && !tuple_)) {
      return machine_.fail("not all arguments converted during string formatting");
    }
    return machine_.string(out);
  }

 private:
  Result<Value> next_argument() {
    const std::size_t available = tuple_ ? arguments_.size : 1;
    if (used_ >= available) return machine_.fail("not enough arguments for format string");
    const Value value = tuple_ ? arguments_.items[used_] : arguments_;
    ++used_;
    return value;
  }

  Result<std::string> conversion(std::string_view format, std::size_t& at) {
    Spec spec;
    spec.align = '>';
    Value value;
    bool keyed = false;
    if (at < format.size() && format[at] == '(') {
      const std::size_t end = format.find(')', at);
      if (end == format.npos) return machine_.fail("incomplete format key");
      if (!arguments_.is_dict()) return machine_.fail("format requires a mapping");
      const std::string_view key = format.substr(at + 1, end - at - 1);
      const Value* found = arguments_.dict->find(key);
      if (found == nullptr)
        return machine_.fail(fmt::format("the format names a key that is missing: '{}'", key));
      value = *found;
      keyed = keyed_ = true;
      at = end + 1;
    }
    bool zero = false;
    for (; at < format.size() && std::string_view("-+ #0").find(format[at]) != std::string_view::npos; ++at) {
      if (format[at] == '-') spec.align = '<';
      if (format[at] == '+' || (format[at] == ' ' && spec.sign != '+')) spec.sign = format[at];
      if (format[at] == '#') spec.alternate = true;
      if (format[at] == '0') zero = true;
    }
    if (at < format.size() && format[at] == '*')
      return machine_.fail("a format width of '*' is not supported");
    spec.width = TRY(read_number(machine_, format, at));
    if (at < format.size() && format[at] == '.') {
      spec.precision = static_cast<int>(TRY(read_number(machine_, format, ++at)));
    }
    if (at >= format.size()) return machine_.fail("incomplete format");
    spec.type = format[at++];
    if (spec.type == '%') return std::string("%");
    if (!keyed) value = TRY(next_argument());
    return convert(value, spec, zero);
  }

  Result<std::string> convert(const Value& value, Spec spec, bool zero) {
    if (spec.type == 's' || spec.type == 'r' || spec.type == 'a') {
      std::string text;
      if (spec.type == 's') {
        text = TRY(machine_.str(value));
      } else {
        append_repr(text, value, machine_.output_limit());
      }
      if (spec.precision >= 0) text.resize(byte_offset(text, static_cast<std::size_t>(spec.precision)));
      return pad(spec, {}, text, '>');
    }
    if (std::string_view("diuxXoeEfFgG").find(spec.type) == std::string_view::npos) {
      return machine_.fail(fmt::format("unsupported format character '{}'", spec.type));
    }
    if (!value.is_number()) {
      if (value.is_undefined()) return machine_.fail(std::string(value.str()));
      return machine_.fail(
          fmt::format("%{} format: a real number is required, not {}", spec.type, type_name(value)));
    }
    if (zero && spec.align != '<') {
      spec.fill = "0";
      spec.align = '=';
    }
    Value number = value;
    if (std::string_view("diuxXo").find(spec.type) != std::string_view::npos) {
      if (value.kind == Kind::kFloat) {
        if (!(std::fabs(value.real) < 0x1p63)) return machine_.fail("cannot convert float to integer");
        number = Value::of(static_cast<std::int64_t>(value.real));
      }
      if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
      spec.precision = -1;
    }
    return format_number(machine_, number, spec);
  }

  Machine& machine_;
  const Value& arguments_;
  bool tuple_ = false, keyed_ = false;
  std::size_t used_ = 0;
};

// str.format: {}, {0}, {name}, {0.attribute[item]!r:spec}.
class BraceFormatter {
 public:
  BraceFormatter(Machine& machine, const Bound& arguments) : machine_(machine), arguments_(arguments) {}

  Result<std::string> run(std::string_view format, int depth) {
    std::string out;
    if (depth > 2) return machine_.fail("Max string recursion exceeded");
    for (std::size_t at = 0; at < format.size(); ++at) {
      const char c = format[at];
      if (c != '{' && c != '}') {
        out += c;
      } else if (at + 1 < format.size() && format[at + 1] == c) {
        out += c;
        ++at;
      } else if (c == '}') {
        return machine_.fail("Single '}' encountered in format string");
      } else {
        const std::size_t end = closing(format, at);
        if (end == format.npos) return machine_.fail("expected '}' before end of string");
        out += TRY(field(format.substr(at + 1, end - at - 1), depth));
        TRY(machine_.room(out.size()));
        at = end;
      }
    }
    return out;
  }

 private:
  static std::size_t closing(std::string_view format, std::size_t at) {
    int open = 0;
    for (; at < format.size(); ++at) {
      if (format[at] == '{') ++open;
      if (format[at] == '}' && --open == 0) return at;
    }
    return format.npos;
  }

  Result<std::string> field(std::string_view text, int depth) {
    const std::size_t colon = std::min(text.find(':'), text.size());
    std::string_view name = text.substr(0, colon);
    const std::string_view spec = text.substr(std::min(colon + 1, text.size()));
    char conversion = 's';
    if (const std::size_t mark = name.rfind('!'); mark != name.npos && mark + 2 == name.size()) {
      conversion = name[mark + 1];
      name = name.substr(0, mark);
      if (conversion != 's' && conversion != 'r') return machine_.fail("Unknown conversion specifier");
    }
    Value value = TRY(argument(name));
    if (conversion == 'r') {
      std::string repr;
      append_repr(repr, value, machine_.output_limit());
      value = machine_.string(repr);
    }
    const std::string expanded = TRY(run(spec, depth + 1));
    return apply_spec(machine_, value, TRY(read_spec(machine_, expanded)));
  }

  Result<Value> argument(std::string_view name) {
    const std::size_t end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, end);
    Value value;
    std::size_t index = 0;
    const auto [stop, status] = std::from_chars(first.data(), first.data() + first.size(), index);
    if (first.empty() || (status == std::errc() && stop == first.data() + first.size())) {
      if (first.empty()) index = automatic_++;
      if (index >= arguments_.rest.size()) {
        return machine_.fail(
            fmt::format("Replacement index {} out of range for positional args tuple", index));
      }
      value = arguments_.rest[index];
    } else {
      for (const NamedValue& named : arguments_.named) {
        if (named.name == first) value = named.value;
      }
      if (value.absent())
        return machine_.fail(fmt::format("the format names an argument that is missing: '{}'", first));
    }
    for (std::string_view rest = name.substr(end); !rest.empty();) {
      const bool item = rest[0] == '[';
      const std::size_t stop_at = item ? rest.find(']') : std::min(rest.find_first_of(".[", 1), rest.size());
      if (stop_at == rest.npos) return machine_.fail("Missing ']' in format string");
      const std::string_view part = rest.substr(1, stop_at - 1);
      std::int64_t number = 0;
      const auto parsed = std::from_chars(part.data(), part.data() + part.size(), number);
      const bool numeric = item && parsed.ec == std::errc() && parsed.ptr == part.data() + part.size();
      value = item ? TRY(machine_.item(value, numeric ? Value::of(number) : Value::of(part)))
                   : TRY(machine_.attribute(value, part));
      rest.remove_prefix(stop_at + (item ? 1 : 0));
    }
    return value;
  }

  Machine& machine_;
  const Bound& arguments_;
  std::size_t automatic_ = 0;
};

}  // namespace

Result<Value> format_percent(Machine& machine, std::string_view format, const Value& arguments) {
  TRY(machine.charge(format.size() / 8));
  return PercentFormatter(machine, arguments).run(format);
}

Result<Value> format_braces(Machine& machine, std::string_view format, const Bound& arguments) {
  TRY(machine.charge(format.size() / 8));
  return machine.string(TRY(BraceFormatter(machine, arguments).run(format, 0)));
}

}  // namespace maestrale::text::jinja
