// The tests behind "is".
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "text/template/machine.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

bool is_mapping(const Value& v) { return v.is_dict(); }
bool is_iterable(const Value& v) {
  return v.is_undefined() || v.is_string() || v.is_sequence() || v.is_dict() || v.kind == Kind::kView ||
         v.kind == Kind::kLoop;
}
bool is_indexed(const Value& v) {
  return v.is_undefined() || v.is_string() || v.is_sequence() || v.is_dict() ||
         (v.kind == Kind::kView && v.view->kind == ViewKind::kRange);
}
bool is_callable(const Value& v) {
  return v.is_undefined() || v.kind == Kind::kFunction || v.kind == Kind::kLoop || v.kind == Kind::kJoiner;
}
bool same(const Value& a, const Value& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == Kind::kNone || a.kind == Kind::kUndefined) return true;
  if (a.kind == Kind::kBool) return a.boolean == b.boolean;
  if (a.kind == Kind::kFloat) return a.real == b.real;
  return a.integer == b.integer && a.size == b.size;
}

// str.isupper / str.islower: some letter has case and none has the other.
bool all_case(std::string_view text, bool (*wanted)(char32_t), bool (*other)(char32_t)) {
  bool any = false;
  for (const std::string_view c : split_codepoints(text)) {
    const char32_t codepoint = decode_utf8(c).codepoint;
    if (other(codepoint)) return false;
    any |= wanted(codepoint);
  }
  return any;
}

template <bool (*predicate)(const Value&)>
Result<Value> simple(Machine&, const Value& self, const Bound&) {
  return Value::of(predicate(self));
}

template <bool (*wanted)(char32_t), bool (*other)(char32_t)>
Result<Value> has_case(Machine& machine, const Value& self, const Bound&) {
  const std::string_view text = TRY(machine.str(self));
  TRY(machine.charge(text.size()));
  return Value::of(all_case(text, wanted, other));
}

Result<Value> remainder_is(Machine& machine, const Value& self, const Value& divisor, std::int64_t wanted) {
  const Value rest = TRY(machine.operate(Operator::kModulo, self, divisor));
  return Value::of(rest.is_number() && rest.as_double() == static_cast<double>(wanted));
}
Result<Value> is_odd(Machine& machine, const Value& self, const Bound&) {
  return remainder_is(machine, self, Value::of(std::int64_t{2}), 1);
}
Result<Value> is_even(Machine& machine, const Value& self, const Bound&) {
  return remainder_is(machine, self, Value::of(std::int64_t{2}), 0);
}
Result<Value> is_divisible(Machine& machine, const Value& self, const Bound& arguments) {
  return remainder_is(machine, self, arguments[0], 0);
}

template <int low, int high>
Result<Value> ordered(Machine& machine, const Value& self, const Bound& arguments) {
  const int order = TRY(machine.compare(self, arguments[0]));
  return Value::of(order >= low && order <= high);
}
Result<Value> is_equal(Machine& machine, const Value& self, const Bound& arguments) {
  return Value::of(TRY(machine.equals(self, arguments[0])));
}
Result<Value> is_not_equal(Machine& machine, const Value& self, const Bound& arguments) {
  return Value::of(!TRY(machine.equals(self, arguments[0])));
}
Result<Value> is_in(Machine& machine, const Value& self, const Bound& arguments) {
  return Value::of(TRY(machine.contains(arguments[0], self)));
}
Result<Value> is_same(Machine&, const Value& self, const Bound& arguments) {
  return Value::of(same(self, arguments[0]));
}
Result<Value> is_filter(Machine&, const Value& self, const Bound&) {
  return Value::of(self.is_string() && find_filter(self.str()) != nullptr);
}
Result<Value> is_test(Machine&, const Value& self, const Bound&) {
  return Value::of(self.is_string() && find_test(self.str()) != nullptr);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_true(const Value& v) { return v.kind == Kind::kBool && v.boolean; }
bool is_false(const Value& v) { return v.kind == Kind::kBool && !v.boolean; }
bool is_boolean(const Value& v) { return v.kind == Kind::kBool; }
bool is_integer(const Value& v) { return v.kind == Kind::kInt; }
bool is_float(const Value& v) { return v.kind == Kind::kFloat; }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_string(); }
bool never(const Value&) { return false; }

constexpr Builtin kTests[] = {
    {"defined", "", simple<is_defined>},
    {"undefined", "", simple<is_undefined>},
    {"none", "", simple<is_none>},
    {"true", "", simple<is_true>},
    {"false", "", simple<is_false>},
    {"boolean", "", simple<is_boolean>},
    {"integer", "", simple<is_integer>},
    {"float", "", simple<is_float>},
    {"number", "", simple<is_number>},
    {"string", "", simple<is_string>},
    {"mapping", "", simple<is_mapping>},
    {"iterable", "", simple<is_iterable>},
    {"sequence", "", simple<is_indexed>},
    {"callable", "", simple<is_callable>},
    {"escaped", "", simple<never>},
    {"upper", "", has_case<is_upper, is_lower>},
    {"lower", "", has_case<is_lower, is_upper>},
    {"odd", "", is_odd},
    {"even", "", is_even},
    {"divisibleby", "num", is_divisible},
    {"eq", "other", is_equal},
    {"equalto", "other", is_equal},
    {"==", "other", is_equal},
    {"ne", "other", is_not_equal},
    {"!=", "other", is_not_equal},
    {"lt", "other", ordered<-1, -1>},
    {"lessthan", "other", ordered<-1, -1>},
    {"<", "other", ordered<-1, -1>},
    {"le", "other", ordered<-1, 0>},
    {"<=", "other", ordered<-1, 0>},
    {"gt", "other", ordered<1, 1>},
    {"greaterthan", "other", ordered<1, 1>},
    {">", "other", ordered<1, 1>},
    {"ge", "other", ordered<0, 1>},
    {">=", "other", ordered<0, 1>},
    {"in", "seq", is_in},
    {"sameas", "other", is_same},
    {"filter", "", is_filter},
    {"test", "", is_test},
};

}  // namespace

const Builtin* find_test(std::string_view name) {
  const auto at =
      std::find_if(std::begin(kTests), std::end(kTests), [&](const Builtin& b) { return b.name == name; });
  return at == std::end(kTests) ? nullptr : at;
}

}  // namespace maestrale::text::jinja
