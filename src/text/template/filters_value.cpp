// Filters on numbers and single values.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "text/template/filters.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

constexpr double kInt64Bound = 0x1p63;

// Python's float(text): decimal, "inf", "nan", underscores between digits.
bool parse_float(std::string_view text, double& out) {
  std::string cleaned(strip_space(text, 3));
  std::erase(cleaned, '_');
  std::string_view rest = cleaned;
  bool negative = false;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest.empty() || rest[0] == '-' || rest[0] == '+') return false;
  const auto [end, status] = std::from_chars(rest.data(), rest.data() + rest.size(), out);
  if (end != rest.data() + rest.size() || status == std::errc::invalid_argument) return false;
  if (status == std::errc::result_out_of_range) {
    out = rest.find("e-") != rest.npos || rest.find("E-") != rest.npos ? 0.0 : HUGE_VAL;
  }
  if (negative) out = -out;
  return true;
}

// Python's int(text, base), base 10 or one with its prefix allowed.
bool parse_integer(std::string_view text, std::int64_t base, std::int64_t& out) {
  std::string cleaned(strip_space(text, 3));
  std::erase(cleaned, '_');
  std::string_view rest = cleaned;
  const bool negative = !rest.empty() && rest[0] == '-';
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) rest.remove_prefix(1);
  if (rest.size() > 2 && rest[0] == '0' && base != 10) {
    const char c = static_cast<char>(rest[1] | 0x20);
    if ((c == 'x' && base == 16) || (c == 'o' && base == 8) || (c == 'b' && base == 2)) rest.remove_prefix(2);
  }
  if (rest.empty() || rest[0] == '-' || base < 2 || base > 36) return false;
  std::string digits = (negative ? "-" : "") + std::string(rest);
  const auto [end, status] =
      std::from_chars(digits.data(), digits.data() + digits.size(), out, static_cast<int>(base));
  return status == std::errc() && end == digits.data() + digits.size();
}

// round half to even at `precision` decimals, as Python's round() does for floats.
double round_decimal(double value, int precision) {
  if (!std::isfinite(value) || precision > 300) return value;
  if (precision >= 0) return std::stod(fmt::format("{:.{}f}", value, precision));
  if (precision < -308) return std::copysign(0.0, value);
  const double scale = std::pow(10.0, -precision);
  return std::nearbyint(value / scale) * scale;
}

Result<Value> extreme(Machine& machine, const Value& self, const Bound& arguments, int wanted) {
  const auto items = TRY(machine.iterate(self));
  if (items.empty()) return machine.undefined("No aggregated item, sequence was empty.");
  Value best = items[0];
  Value best_key = TRY(sort_key(machine, best, arguments[1], flag(arguments[0])));
  for (const Value& item : items.subspan(1)) {
    const Value key = TRY(sort_key(machine, item, arguments[1], flag(arguments[0])));
    if (TRY(machine.compare(key, best_key)) == wanted) {
      best = item;
      best_key = key;
    }
  }
  return best;
}

}  // namespace

Result<Value> filter_safe(Machine& machine, const Value& self, const Bound&) {
  return Value::of(TRY(machine.str(self)));
}

Result<Value> filter_default(Machine&, const Value& self, const Bound& arguments) {
  if (!self.is_undefined() && !(flag(arguments[1]) && !truthy(self))) return self;
  return arguments[0].absent() ? Value::of(std::string_view()) : arguments[0];
}

Result<Value> filter_int(Machine& machine, const Value& self, const Bound& arguments) {
  const Value fallback = arguments[0].absent() ? Value::of(std::int64_t{0}) : arguments[0];
  const std::int64_t base = TRY(integer(machine, arguments[1], 10));
  if (self.is_undefined()) return machine.fail(std::string(self.str()));
  if (self.is_integral()) return Value::of(self.as_int());
  double real = 0;
  if (self.is_string()) {
    std::int64_t value = 0;
    if (parse_integer(self.str(), base, value)) return Value::of(value);
    if (!parse_float(self.str(), real)) return fallback;
  } else if (self.kind == Kind::kFloat) {
    real = self.real;
  } else {
    return fallback;
  }
  if (!std::isfinite(real)) return fallback;
  if (!(std::fabs(real) < kInt64Bound)) {
    return machine.fail("an integer result beyond 64 bits", ErrorKind::kUnsupported);
  }
  return Value::of(static_cast<std::int64_t>(real));
}

Result<Value> filter_float(Machine& machine, const Value& self, const Bound& arguments) {
  if (self.is_undefined()) return machine.fail(std::string(self.str()));
  if (self.is_number()) return Value::of(self.as_double());
  double value = 0;
  if (self.is_string() && parse_float(self.str(), value)) return Value::of(value);
  return arguments[0].absent() ? Value::of(0.0) : arguments[0];
}

Result<Value> filter_abs(Machine& machine, const Value& self, const Bound&) {
  if (self.kind == Kind::kFloat) return Value::of(std::fabs(self.real));
  if (!self.is_integral())
    return machine.fail(fmt::format("bad operand type for abs(): '{}'", type_name(self)));
  if (self.as_int() == INT64_MIN)
    return machine.fail("an integer result beyond 64 bits", ErrorKind::kUnsupported);
  return Value::of(std::abs(self.as_int()));
}

Result<Value> filter_round(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t precision = TRY(integer(machine, arguments[0], 0));
  const std::string_view method = arguments[1].absent() ? "common" : TRY(machine.str(arguments[1]));
  if (method != "common" && method != "ceil" && method != "floor") {
    return machine.fail("method must be common, ceil or floor");
  }
  if (self.is_undefined()) return machine.fail(std::string(self.str()));
  if (!self.is_number()) {
    return machine.fail(fmt::format("type {} doesn't define __round__ method", type_name(self)));
  }
  if (precision < -400 || precision > 400) return machine.fail("round: a precision beyond 400");
  if (method == "common") {
    if (self.is_integral() && precision >= 0) return Value::of(self.as_int());
    const double rounded = round_decimal(self.as_double(), static_cast<int>(precision));
    if (self.is_integral()) return Value::of(static_cast<std::int64_t>(rounded));
    return Value::of(rounded);
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = self.as_double() * scale;
  return Value::of((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Result<Value> filter_length(Machine& machine, const Value& self, const Bound&) {
  return Value::of(static_cast<std::int64_t>(TRY(machine.length(self))));
}

Result<Value> filter_attr(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view name = TRY(machine.str(arguments[0]));
  if (!self.is_dict() || find_method(self, name) != nullptr) return machine.attribute(self, name);
  return machine.undefined(fmt::format("'dict object' has no attribute '{}'", name));
}

Result<Value> filter_items(Machine& machine, const Value& self, const Bound&) {
  if (self.is_undefined()) return machine.make_generator({});
  if (!self.is_dict()) return machine.fail("Can only get item pairs from a mapping.");
  TRY(machine.charge(self.size));
  std::vector<Value> pairs;
  for (const Entry& entry : self.dict->all()) pairs.push_back(machine.make_tuple({entry.key, entry.value}));
  return machine.make_generator(pairs);
}

Result<Value> filter_tojson(Machine& machine, const Value& self, const Bound& arguments) {
  return to_json(machine, self, arguments);
}

Result<Value> filter_sum(Machine& machine, const Value& self, const Bound& arguments) {
  Value total = arguments[1].absent() ? Value::of(std::int64_t{0}) : arguments[1];
  if (total.is_string()) return machine.fail("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : TRY(machine.iterate(self))) {
    const bool by_attribute = !arguments[0].absent() && !arguments[0].is_none();
    const Value part = by_attribute ? TRY(machine.path(item, arguments[0])) : item;
    total = TRY(machine.operate(Operator::kAdd, total, part));
  }
  return total;
}

Result<Value> filter_min(Machine& machine, const Value& self, const Bound& arguments) {
  return extreme(machine, self, arguments, -1);
}
Result<Value> filter_max(Machine& machine, const Value& self, const Bound& arguments) {
  return extreme(machine, self, arguments, 1);
}

}  // namespace maestrale::text::jinja
