// + - * / // % **, comparison and membership with Python's meaning.
#include <fmt/format.h>

#include <cmath>

#include "text/template/machine.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

constexpr std::string_view kSpellings[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

std::string_view spelling(Operator operation) { return kSpellings[static_cast<std::size_t>(operation)]; }

Error unsupported(Machine& machine, Operator operation, const Value& a, const Value& b) {
  return machine.fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", spelling(operation),
                                  type_name(a), type_name(b)));
}

Error overflow(Machine& machine) {
  return machine.fail("an integer result beyond 64 bits", ErrorKind::kUnsupported);
}

// The remainder has the divisor's sign.
double float_modulo(double a, double b) {
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  return remainder == 0 ? std::copysign(0.0, b) : remainder;
}

Result<Value> float_arithmetic(Machine& machine, Operator operation, double a, double b) {
  switch (operation) {
    case Operator::kAdd:
      return Value::of(a + b);
    case Operator::kSubtract:
      return Value::of(a - b);
    case Operator::kMultiply:
      return Value::of(a * b);
    case Operator::kDivide:
      if (b == 0) return machine.fail("float division by zero");
      return Value::of(a / b);
    case Operator::kFloorDivide:
      if (b == 0) return machine.fail("float floor division by zero");
      return Value::of(std::floor((a - float_modulo(a, b)) / b + 0.0));
    case Operator::kModulo:
      if (b == 0) return machine.fail("float modulo");
      return Value::of(float_modulo(a, b));
    default:
      if (a == 0 && b < 0) return machine.fail("0.0 cannot be raised to a negative power");
      if (a < 0 && b != std::trunc(b))
        return machine.fail("complex numbers are not supported", ErrorKind::kUnsupported);
      return Value::of(std::pow(a, b));
  }
}

Result<Value> integer_power(Machine& machine, std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    return float_arithmetic(machine, Operator::kPower, static_cast<double>(base),
                            static_cast<double>(exponent));
  }
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return overflow(machine);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return overflow(machine);
  }
  return Value::of(result);
}

Result<Value> integer_arithmetic(Machine& machine, Operator operation, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (operation) {
    case Operator::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return overflow(machine);
      return Value::of(result);
    case Operator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) return overflow(machine);
      return Value::of(result);
    case Operator::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) return overflow(machine);
      return Value::of(result);
    case Operator::kDivide:
      if (b == 0) return machine.fail("division by zero");
      return Value::of(static_cast<double>(a) / static_cast<double>(b));
    case Operator::kPower:
      return integer_power(machine, a, b);
    default:
      break;
  }
  if (b == 0) return machine.fail("integer division or modulo by zero");
  if (b == -1) {  // the one quotient that may not fit
    if (operation == Operator::kModulo) return Value::of(std::int64_t{0});
    return __builtin_sub_overflow(std::int64_t{0}, a, &result) ? Result<Value>(overflow(machine))
                                                               : Value::of(result);
  }
  std::int64_t quotient = a / b, remainder = a % b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    --quotient;
    remainder += b;
  }
  return Value::of(operation == Operator::kModulo ? remainder : quotient);
}

}  // namespace

Result<Value> Machine::operate(Operator operation, const Value& a, const Value& b) {
  if (operation == Operator::kModulo && a.is_string()) return format_percent(*this, a.str(), b);
  if (a.is_undefined()) return fail(std::string(a.str()));
  if (b.is_undefined()) return fail(std::string(b.str()));
  if (a.is_number() && b.is_number()) return arithmetic(operation, a, b);
  if (operation == Operator::kAdd) return add(a, b);
  if (operation == Operator::kMultiply) return multiply(a, b);
  return unsupported(*this, operation, a, b);
}

Result<Value> Machine::arithmetic(Operator operation, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integer_arithmetic(*this, operation, a.as_int(), b.as_int());
  return float_arithmetic(*this, operation, a.as_double(), b.as_double());
}

Result<Value> Machine::add(const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    TRY(room(a.size + b.size));
    TRY(charge((a.size + b.size) / 64));
    return Value::of(arena_.append(a.str(), b.str()));
  }
  if (a.is_sequence() && a.kind == b.kind) {
    const std::size_t size = a.size + b.size;
    TRY(room(size * sizeof(Value)));
    TRY(charge(size));
    ArenaVector<Value> items;
    items.grow(arena_, size);
    for (const Value& item : a.elements()) items.push(arena_, item);
    for (const Value& item : b.elements()) items.push(arena_, item);
    return Value::sequence(a.kind, {items.data, size});
  }
  if (a.is_string() || a.is_sequence()) {
    return fail(
        fmt::format("can only concatenate {} (not \"{}\") to {}", type_name(a), type_name(b), type_name(a)));
  }
  return unsupported(*this, Operator::kAdd, a, b);
}

Result<Value> Machine::multiply(const Value& a, const Value& b) {
  const bool a_repeats = a.is_string() || a.is_sequence();
  const bool b_repeats = b.is_string() || b.is_sequence();
  if (a_repeats && b.is_integral()) return repeat(a, b.as_int());
  if (b_repeats && a.is_integral()) return repeat(b, a.as_int());
  if (a_repeats || b_repeats) {
    return fail(fmt::format("can't multiply sequence by non-int of type '{}'", type_name(a_repeats ? b : a)));
  }
  return unsupported(*this, Operator::kMultiply, a, b);
}

Result<Value> Machine::repeat(const Value& value, std::int64_t count) {
  const std::size_t times = count < 0 ? 0 : static_cast<std::size_t>(count);
  const std::size_t unit = value.is_string() ? 1 : sizeof(Value);
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(value.size * unit, times, &bytes)) bytes = SIZE_MAX / 2;
  TRY(room(bytes));
  TRY(charge(bytes / 64));
  if (bytes == 0) return value.is_string() ? Value::of(std::string_view()) : Value::sequence(value.kind, {});
  if (value.is_string()) {
    char* text = arena_.text(bytes);
    for (std::size_t i = 0; i < times; ++i) std::memcpy(text + i * value.size, value.text, value.size);
    return Value::of(std::string_view(text, bytes));
  }
  Value* items = arena_.array<Value>(value.size * times);
  for (std::size_t i = 0; i < times; ++i) std::copy_n(value.items, value.size, items + i * value.size);
  return Value::sequence(value.kind, {items, value.size * times});
}

Result<bool> Machine::equals(const Value& a, const Value& b) {
  TRY(charge(1 + (a.is_string() ? a.size / 64 : 0)));
  const bool same = equal(a, b, steps_left_);
  TRY(charge(0));
  return same;
}

Result<int> Machine::compare_sequences(std::span<const Value> a, std::span<const Value> b,
                                       std::string_view operation) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!TRY(equals(a[i], b[i]))) return compare(a[i], b[i], operation);
  }
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

Result<int> Machine::compare(const Value& a, const Value& b, std::string_view operation) {
  TRY(charge(1));
  if (a.is_undefined()) return fail(std::string(a.str()));
  if (b.is_undefined()) return fail(std::string(b.str()));
  if (a.is_integral() && b.is_integral()) {
    return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
  }
  if (a.is_number() && b.is_number()) {
    return a.as_double() < b.as_double() ? -1 : a.as_double() > b.as_double() ? 1 : 0;
  }
  if (a.is_string() && b.is_string()) {
    TRY(charge(std::min(a.size, b.size) / 64));
    const int order = a.str().compare(b.str());  // UTF-8 sorts as its code points
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.is_sequence() && a.kind == b.kind) {
    if (++nesting_ > kMaxEvaluation) return fail("a value nested too deep to compare", ErrorKind::kResource);
    const int order = TRY(compare_sequences(a.elements(), b.elements(), operation));
    --nesting_;
    return order;
  }
  return fail(fmt::format("'{}' not supported between instances of '{}' and '{}'", operation, type_name(a),
                          type_name(b)));
}

Result<bool> Machine::contains(const Value& container, const Value& value) {
  if (container.is_string()) {
    if (value.is_undefined()) return fail("'in <string>' requires string as left operand, not Undefined");
    if (!value.is_string()) {
      return fail(fmt::format("'in <string>' requires string as left operand, not {}", type_name(value)));
    }
    TRY(charge(container.size / 64));
    return container.str().find(value.str()) != std::string_view::npos;
  }
  if (container.is_dict()) {
    if (!hashable(value)) return fail(fmt::format("unhashable type: '{}'", type_name(value)));
    return container.dict->find(value) != nullptr;
  }
  if (container.kind == Kind::kUndefined || container.is_sequence() || container.kind == Kind::kView) {
    for (const Value& item : TRY(iterate(container))) {
      if (TRY(equals(item, value))) return true;
    }
    return false;
  }
  return fail(fmt::format("argument of type '{}' is not iterable", type_name(container)));
}

}  // namespace maestrale::text::jinja
