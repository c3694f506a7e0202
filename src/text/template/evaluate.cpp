// Expressions.
#include <fmt/format.h>

#include "base/check.h"
#include "text/template/machine.h"

namespace maestrale::text::jinja {

Result<Value> Machine::evaluate_nested(const Node& node) {
  switch (node.op) {
    case Op::kAttribute:
      return evaluate_attribute(node);
    case Op::kItem:
      return evaluate_item(node);
    case Op::kSlice:
      return evaluate_slice(node);
    case Op::kCall:
      return evaluate_call(node);
    case Op::kFilter:
      return evaluate_filter(node, nullptr);
    case Op::kTest:
      return evaluate_test(node);
    default:
      return evaluate_operation(node);
  }
}

Result<Value> Machine::evaluate_operation(const Node& node) {
  switch (node.op) {
    case Op::kNot:
    case Op::kAnd:
    case Op::kOr:
      return evaluate_logic(node);
    case Op::kConditional:
      return evaluate_conditional(node);
    case Op::kCompare:
      return evaluate_compare(node);
    case Op::kBinary:
      return evaluate_binary(node);
    case Op::kConcat:
      return evaluate_concat(node);
    case Op::kList:
    case Op::kTuple:
      return evaluate_sequence(node);
    case Op::kDict:
      return evaluate_dict(node);
    case Op::kNegate:
    case Op::kPlus:
      return evaluate_sign(node);
    default:
      CHECK(false, "the parser makes expressions of these kinds only");
  }
}

Result<Value> Machine::evaluate_name(const Node& node) {
  const Value* value = lookup_from(scope_, node.name);
  if (value != nullptr) return *value;
  return undefined(fmt::format("'{}' is undefined", node.text));
}

Result<Value> Machine::evaluate_attribute(const Node& node) {
  const Value object = TRY(evaluate(*node.children[0]));
  return attribute(object, node.text);
}

Result<Value> Machine::evaluate_item(const Node& node) {
  const Value object = TRY(evaluate(*node.children[0]));
  const Value key = TRY(evaluate(*node.children[1]));
  return item(object, key);
}

Result<Value> Machine::evaluate_slice(const Node& node) {
  const Value object = TRY(evaluate(*node.children[0]));
  std::array<Value, 3> bounds;
  for (std::size_t i = 0; i < 3; ++i) {
    if (node.children[i + 1]) bounds[i] = TRY(evaluate(*node.children[i + 1]));
  }
  return slice(object, bounds);
}

struct Machine::CallValues {
  std::vector<Value> positional;
  std::vector<NamedValue> named;
  Call call() const { return {positional, named}; }
};

Status Machine::evaluate_arguments(const ArgumentNodes& nodes, CallValues& out) {
  out.positional.reserve(nodes.positional.size());
  for (const NodePtr& node : nodes.positional) out.positional.push_back(TRY(evaluate(*node)));
  for (const auto& [name, node] : nodes.named) out.named.push_back({name, TRY(evaluate(*node))});
  if (nodes.star) {
    const Value more = TRY(evaluate(*nodes.star));
    for (const Value& item : TRY(iterate(more))) out.positional.push_back(item);
  }
  if (nodes.double_star) {
    const Value more = TRY(evaluate(*nodes.double_star));
    if (!more.is_dict()) return fail("argument after ** must be a mapping");
    for (const Entry& entry : more.dict->all()) {
      if (!entry.key.is_string()) return fail("keywords must be strings");
      out.named.push_back({entry.key.str(), entry.value});
    }
  }
  return {};
}

Result<Value> Machine::evaluate_call(const Node& node) {
  const Node& callee = *node.children[0];
  const Builtin* method = nullptr;
  Value object;
  if (callee.op == Op::kAttribute) {
    object = TRY(evaluate(*callee.children[0]));
    method = find_method(object, callee.text);
    if (method == nullptr) object = TRY(attribute(object, callee.text));
  } else {
    object = TRY(evaluate(callee));
  }
  CallValues values;
  TRY(evaluate_arguments(node.arguments, values));
  line_ = node.line;
  return method != nullptr ? call_builtin(*method, object, values.call()) : call(object, values.call());
}

Result<Value> Machine::evaluate_filter(const Node& node, const Value* input) {
  const Value subject = input != nullptr ? *input : TRY(evaluate(*node.children[0]));
  CallValues values;
  TRY(evaluate_arguments(node.arguments, values));
  line_ = node.line;
  return filter(node.text, subject, values.call());
}

Result<Value> Machine::evaluate_test(const Node& node) {
  const Value subject = TRY(evaluate(*node.children[0]));
  CallValues values;
  TRY(evaluate_arguments(node.arguments, values));
  line_ = node.line;
  return Value::of(TRY(test(node.text, subject, values.call())));
}

Result<Value> Machine::evaluate_logic(const Node& node) {
  const Value left = TRY(evaluate(*node.children[0]));
  if (node.op == Op::kNot) return Value::of(!truthy(left));
  if (truthy(left) == (node.op == Op::kOr)) return left;
  return evaluate(*node.children[1]);
}

Result<Value> Machine::evaluate_conditional(const Node& node) {
  if (truthy(TRY(evaluate(*node.children[0])))) return evaluate(*node.children[1]);
  if (node.children.size() > 2) return evaluate(*node.children[2]);
  return undefined(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined.", node.line));
}

Result<bool> Machine::compare_with(Operator operation, const Value& a, const Value& b) {
  switch (operation) {
    case Operator::kEqual:
      return equals(a, b);
    case Operator::kNotEqual:
      return !TRY(equals(a, b));
    case Operator::kIn:
      return contains(b, a);
    case Operator::kNotIn:
      return !TRY(contains(b, a));
    default:
      break;
  }
  if (a.kind == Kind::kFloat || b.kind == Kind::kFloat) {
    if (a.is_number() && b.is_number() && a.as_double() != a.as_double()) return false;
    if (a.is_number() && b.is_number() && b.as_double() != b.as_double()) return false;
  }
  static constexpr std::string_view kSpellings[] = {"<", "<=", ">", ">="};
  const auto index = static_cast<std::size_t>(operation) - static_cast<std::size_t>(Operator::kLess);
  const int order = TRY(compare(a, b, kSpellings[index]));
  switch (operation) {
    case Operator::kLess:
      return order < 0;
    case Operator::kLessEqual:
      return order <= 0;
    case Operator::kGreater:
      return order > 0;
    default:
      return order >= 0;
  }
}

Result<Value> Machine::evaluate_compare(const Node& node) {
  Value left = TRY(evaluate(*node.children[0]));
  for (std::size_t i = 0; i < node.operators.size(); ++i) {
    const Value right = TRY(evaluate(*node.children[i + 1]));
    if (!TRY(compare_with(node.operators[i], left, right))) return Value::of(false);
    left = right;
  }
  return Value::of(true);
}

Result<Value> Machine::evaluate_binary(const Node& node) {
  const Value left = TRY(evaluate(*node.children[0]));
  const Value right = TRY(evaluate(*node.children[1]));
  line_ = node.line;
  return operate(node.operators[0], left, right);
}

Result<Value> Machine::evaluate_concat(const Node& node) {
  std::string_view out;
  std::vector<Value> values;
  values.reserve(node.children.size());
  for (const NodePtr& child : node.children) values.push_back(TRY(evaluate(*child)));
  for (const Value& value : values) {
    const std::string_view part = TRY(str(value));
    TRY(room(part.size()));
    TRY(charge(part.size() / 64));
    out = arena_.append(out, part);
  }
  return Value::of(out);
}

Result<Value> Machine::evaluate_sequence(const Node& node) {
  Value* items = arena_.array<Value>(node.children.size());
  for (std::size_t i = 0; i < node.children.size(); ++i) items[i] = TRY(evaluate(*node.children[i]));
  return Value::sequence(node.op == Op::kList ? Kind::kList : Kind::kTuple, {items, node.children.size()});
}

Result<Value> Machine::evaluate_dict(const Node& node) {
  DictBuilder builder(arena_);
  for (std::size_t i = 0; i < node.children.size(); i += 2) {
    const Value key = TRY(evaluate(*node.children[i]));
    if (!hashable(key)) return fail(fmt::format("unhashable type: '{}'", type_name(key)));
    builder.set(key, TRY(evaluate(*node.children[i + 1])));
  }
  return Value::of(builder.finish());
}

Result<Value> Machine::evaluate_sign(const Node& node) {
  const Value value = TRY(evaluate(*node.children[0]));
  const bool negate = node.op == Op::kNegate;
  if (value.is_undefined()) return fail(std::string(value.str()));
  if (value.kind == Kind::kFloat) return Value::of(negate ? -value.real : value.real);
  if (!value.is_integral()) {
    return fail(fmt::format("bad operand type for unary {}: '{}'", negate ? '-' : '+', type_name(value)));
  }
  std::int64_t result = value.as_int();
  if (negate && __builtin_sub_overflow(std::int64_t{0}, result, &result)) {
    return fail("an integer result beyond 64 bits", ErrorKind::kUnsupported);
  }
  return Value::of(result);
}

}  // namespace maestrale::text::jinja
