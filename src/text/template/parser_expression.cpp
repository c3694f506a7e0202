#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "text/template/parser_state.h"

namespace maestrale::text::jinja {

Result<NodePtr> Parser::expression(bool with_conditional) {
  const Deeper deeper(*this);
  if (deeper.too_deep())
    return fail(fmt::format("expressions and blocks nested more than {} deep", kMaxNesting));
  return with_conditional ? conditional() : disjunction();
}

// x if c else (y if d else z): the else branch is again a conditional, read in a loop to stay flat.
Result<NodePtr> Parser::conditional() {
  NodePtr node = TRY(disjunction());
  while (skip_word("if")) {
    MutableNode choice = make(Op::kConditional);
    choice->children.push_back(TRY(disjunction()));
    choice->children.push_back(std::move(node));
    if (skip_word("else")) choice->children.push_back(TRY(expression()));
    node = TRY(finish(std::move(choice)));
  }
  return node;
}

Result<NodePtr> Parser::disjunction() {
  NodePtr left = TRY(conjunction());
  while (skip_word("or")) {
    NodePtr right = TRY(conjunction());
    left = TRY(binary(Op::kOr, std::move(left), std::move(right)));
  }
  return left;
}

Result<NodePtr> Parser::conjunction() {
  NodePtr left = TRY(negation());
  while (skip_word("and")) {
    NodePtr right = TRY(negation());
    left = TRY(binary(Op::kAnd, std::move(left), std::move(right)));
  }
  return left;
}

Result<NodePtr> Parser::negation() {
  int count = 0;
  while (skip_word("not")) ++count;
  NodePtr node = TRY(comparison());
  for (; count > 0; --count) node = TRY(unary(Op::kNot, std::move(node)));
  return node;
}

Result<NodePtr> Parser::comparison() {
  static constexpr std::pair<std::string_view, Operator> kComparisons[] = {
      {"==", Operator::kEqual},     {"!=", Operator::kNotEqual}, {"<", Operator::kLess},
      {"<=", Operator::kLessEqual}, {">", Operator::kGreater},   {">=", Operator::kGreaterEqual}};
  NodePtr first = TRY(sum());
  MutableNode node;
  while (true) {
    Operator operation = Operator::kIn;
    bool found = false;
    for (const auto& [spelling, candidate] : kComparisons) {
      if (is_operator(spelling)) {
        found = true;
        operation = candidate;
      }
    }
    if (is_word("not") && ahead().type == TokenType::kName && ahead().text == "in") {
      found = true;
      operation = Operator::kNotIn;
      next();
    }
    if (!found && !is_word("in")) break;
    next();
    if (!node) {
      node = make(Op::kCompare);
      node->children.push_back(std::move(first));
    }
    node->operators.push_back(operation);
    node->children.push_back(TRY(sum()));
  }
  return node ? finish(std::move(node)) : Result<NodePtr>(std::move(first));
}

Result<NodePtr> Parser::sum() {
  NodePtr left = TRY(concatenation());
  while (is_operator("+") || is_operator("-")) {
    const Operator operation = is_operator("+") ? Operator::kAdd : Operator::kSubtract;
    next();
    NodePtr right = TRY(concatenation());
    left = TRY(binary(Op::kBinary, std::move(left), std::move(right), static_cast<int>(operation)));
  }
  return left;
}

Result<NodePtr> Parser::concatenation() {
  NodePtr first = TRY(product());
  if (!is_operator("~")) return first;
  MutableNode node = make(Op::kConcat);
  node->children.push_back(std::move(first));
  while (skip_operator("~")) node->children.push_back(TRY(product()));
  return finish(std::move(node));
}

Result<NodePtr> Parser::product() {
  static constexpr std::pair<std::string_view, Operator> kProducts[] = {{"*", Operator::kMultiply},
                                                                        {"/", Operator::kDivide},
                                                                        {"//", Operator::kFloorDivide},
                                                                        {"%", Operator::kModulo}};
  NodePtr left = TRY(power());
  while (true) {
    int operation = -1;
    for (const auto& [spelling, candidate] : kProducts) {
      if (is_operator(spelling)) operation = static_cast<int>(candidate);
    }
    if (operation < 0) return left;
    next();
    NodePtr right = TRY(power());
    left = TRY(binary(Op::kBinary, std::move(left), std::move(right), operation));
  }
}

Result<NodePtr> Parser::power() {
  NodePtr left = TRY(signed_value());
  while (skip_operator("**")) {
    NodePtr right = TRY(signed_value());
    left = TRY(binary(Op::kBinary, std::move(left), std::move(right), static_cast<int>(Operator::kPower)));
  }
  return left;
}

// The sign binds tighter than a filter: -1|abs is (-1)|abs.
Result<NodePtr> Parser::signed_value(bool with_filter) {
  std::string signs;
  while (is_operator("-") || is_operator("+")) {
    signs += current().text;
    next();
  }
  NodePtr node = TRY(postfix(TRY(primary())));
  for (; !signs.empty(); signs.pop_back()) {
    node = TRY(unary(signs.back() == '-' ? Op::kNegate : Op::kPlus, std::move(node)));
  }
  return with_filter ? filters(std::move(node)) : Result<NodePtr>(std::move(node));
}

Result<NodePtr> Parser::primary() {
  if (current().type == TokenType::kName) {
    const std::string name = current().text;
    MutableNode node = make(Op::kConst);
    if (name == "true" || name == "True") {
      node->value = Value::of(true);
    } else if (name == "false" || name == "False") {
      node->value = Value::of(false);
    } else if (name == "none" || name == "None") {
      node->value = Value::none();
    } else {
      NodePtr variable = TRY(name_node(name));
      next();
      return variable;
    }
    next();
    return finish(std::move(node));
  }
  if (is_operator("(")) {
    next();
    NodePtr node = TRY(tuple({}, true, true));
    TRY(expect_operator(")"));
    return node;
  }
  if (is_operator("[")) return list();
  if (is_operator("{")) return dict();
  return literal();
}

Result<NodePtr> Parser::literal() {
  MutableNode node = make(Op::kConst);
  const std::string& text = current().text;
  switch (current().type) {
    case TokenType::kString:
      while (current().type == TokenType::kString) {
        node->text += current().text;
        next();
      }
      node->value = Value::of(std::string_view(node->text));
      return finish(std::move(node));
    case TokenType::kInteger: {
      const char second = text.size() > 1 ? text[1] : '0';
      const int base = second == 'x' || second == 'X'   ? 16
                       : second == 'o' || second == 'O' ? 8
                       : second == 'b' || second == 'B' ? 2
                                                        : 10;
      std::int64_t value = 0;
      const char* begin = text.data() + (base == 10 ? 0 : 2);
      const auto [end, status] = std::from_chars(begin, text.data() + text.size(), value, base);
      if (status != std::errc() || end != text.data() + text.size()) {
        return fail(fmt::format("the integer {} is malformed or beyond 64 bits", text));
      }
      node->value = Value::of(value);
      break;
    }
    case TokenType::kFloat: {
      double value = 0;
      const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (status == std::errc::result_out_of_range) {
        const bool tiny = text.find("e-") != text.npos || text.find("E-") != text.npos;
        value = tiny ? 0.0 : std::numeric_limits<double>::infinity();
      } else if (status != std::errc() || end != text.data() + text.size()) {
        return fail(fmt::format("the number {} is malformed", text));
      }
      node->value = Value::of(value);
      break;
    }
    default:
      return unexpected();
  }
  next();
  return finish(std::move(node));
}

bool Parser::ends_tuple(std::string_view end_word) const {
  const TokenType type = current().type;
  return type == TokenType::kPrintEnd || type == TokenType::kBlockEnd || is_operator(")") ||
         (!end_word.empty() && is_word(end_word));
}

Result<NodePtr> Parser::tuple(std::string_view end_word, bool with_conditional, bool explicit_parentheses) {
  MutableNode node = make(Op::kTuple);
  bool comma = false;
  while (!ends_tuple(end_word)) {
    node->children.push_back(TRY(expression(with_conditional)));
    if (!skip_operator(",")) break;
    comma = true;
  }
  if (!comma && node->children.size() == 1) return std::move(node->children[0]);
  if (node->children.empty() && !explicit_parentheses) return fail("Expected an expression");
  return finish(std::move(node));
}

Result<NodePtr> Parser::list() {
  MutableNode node = make(Op::kList);
  next();
  while (!is_operator("]")) {
    if (!node->children.empty()) TRY(expect_operator(","));
    if (is_operator("]")) break;
    node->children.push_back(TRY(expression()));
  }
  next();
  return finish(std::move(node));
}

Result<NodePtr> Parser::dict() {
  MutableNode node = make(Op::kDict);
  next();
  while (!is_operator("}")) {
    if (!node->children.empty()) TRY(expect_operator(","));
    if (is_operator("}")) break;
    node->children.push_back(TRY(expression()));
    TRY(expect_operator(":"));
    node->children.push_back(TRY(expression()));
  }
  next();
  return finish(std::move(node));
}

Result<NodePtr> Parser::postfix(NodePtr node) {
  while (true) {
    if (is_operator(".")) {
      node = TRY(attribute(std::move(node)));
    } else if (is_operator("[")) {
      node = TRY(subscript(std::move(node)));
    } else if (is_operator("(")) {
      node = TRY(call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<NodePtr> Parser::filters(NodePtr node) {
  while (true) {
    if (is_operator("|")) {
      next();
      node = TRY(filter(std::move(node)));
    } else if (is_word("is")) {
      node = TRY(test(std::move(node)));
    } else if (is_operator("(")) {
      node = TRY(call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<NodePtr> Parser::filter(NodePtr input) {
  MutableNode node = make(Op::kFilter);
  node->text = TRY(expect_name());
  while (skip_operator(".")) node->text += "." + TRY(expect_name());
  if (input) node->children.push_back(std::move(input));
  if (is_operator("(")) node->arguments = TRY(arguments());
  return finish(std::move(node));
}

Result<NodePtr> Parser::test(NodePtr subject) {
  next();
  const bool negated = skip_word("not");
  MutableNode node = make(Op::kTest);
  node->text = TRY(expect_name());
  while (skip_operator(".")) node->text += "." + TRY(expect_name());
  node->children.push_back(std::move(subject));
  const TokenType type = current().type;
  if (is_operator("(")) {
    node->arguments = TRY(arguments());
  } else if ((type == TokenType::kName || type == TokenType::kString || type == TokenType::kInteger ||
              type == TokenType::kFloat || is_operator("[") || is_operator("{")) &&
             !is_word("else") && !is_word("or") && !is_word("and")) {
    if (is_word("is")) return fail("You cannot chain multiple tests with is");
    // Words that cannot be an argument end the test.
    if (!is_word("if") && !is_word("in") && !is_word("not")) {
      node->arguments.positional.push_back(TRY(postfix(TRY(primary()))));
    }
  }
  NodePtr done = TRY(finish(std::move(node)));
  return negated ? unary(Op::kNot, std::move(done)) : Result<NodePtr>(std::move(done));
}

Result<NodePtr> Parser::attribute(NodePtr object) {
  next();
  if (current().type == TokenType::kInteger) {
    MutableNode item = make(Op::kItem);
    item->children.push_back(std::move(object));
    item->children.push_back(TRY(literal()));
    return finish(std::move(item));
  }
  MutableNode node = make(Op::kAttribute);
  node->text = TRY(expect_name());
  node->children.push_back(std::move(object));
  return finish(std::move(node));
}

Result<NodePtr> Parser::subscript(NodePtr object) {
  MutableNode node = make(Op::kItem);
  next();
  node->children.push_back(std::move(object));
  if (!is_operator(":")) node->children.push_back(TRY(expression()));
  if (is_operator(":")) {
    node->op = Op::kSlice;
    if (node->children.size() == 1) node->children.push_back(nullptr);
    while (skip_operator(":") && node->children.size() < 4) {
      const bool empty = is_operator(":") || is_operator("]");
      node->children.push_back(empty ? nullptr : TRY(expression()));
    }
    node->children.resize(4);
  } else if (is_operator(",")) {
    MutableNode key = make(Op::kTuple);
    key->children.push_back(std::move(node->children[1]));
    while (skip_operator(",") && !is_operator("]")) key->children.push_back(TRY(expression()));
    node->children[1] = TRY(finish(std::move(key)));
  }
  TRY(expect_operator("]"));
  return finish(std::move(node));
}

Result<NodePtr> Parser::call(NodePtr callee) {
  MutableNode node = make(Op::kCall);
  node->children.push_back(std::move(callee));
  node->arguments = TRY(arguments());
  return finish(std::move(node));
}

Status Parser::argument(ArgumentNodes& out) {
  if (skip_operator("**")) {
    if (out.double_star) return fail("only one ** argument is allowed in a call");
    out.double_star = TRY(expression());
  } else if (skip_operator("*")) {
    if (out.star) return fail("only one * argument is allowed in a call");
    out.star = TRY(expression());
  } else if (current().type == TokenType::kName && ahead().type == TokenType::kOperator &&
             ahead().text == "=") {
    std::string name = current().text;
    next();
    next();
    for (const auto& [other, node] : out.named) {
      if (other == name) return fail(fmt::format("keyword argument repeated: {}", name));
    }
    out.named.emplace_back(std::move(name), TRY(expression()));
  } else {
    if (!out.named.empty() || out.double_star) return fail("invalid syntax for function call expression");
    out.positional.push_back(TRY(expression()));
  }
  return {};
}

Result<ArgumentNodes> Parser::arguments() {
  ArgumentNodes out;
  TRY(expect_operator("("));
  bool first = true;
  while (!is_operator(")")) {
    if (!first) TRY(expect_operator(","));
    if (is_operator(")")) break;
    first = false;
    TRY(argument(out));
  }
  next();
  return out;
}

}  // namespace maestrale::text::jinja
