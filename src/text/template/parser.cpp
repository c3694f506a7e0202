#include "text/template/parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/template/parser_state.h"

namespace maestrale::text::jinja {

bool Parser::is_operator(std::string_view spelling) const {
  return current().type == TokenType::kOperator && current().text == spelling;
}
bool Parser::is_word(std::string_view word) const {
  return current().type == TokenType::kName && current().text == word;
}
bool Parser::skip_operator(std::string_view spelling) {
  if (!is_operator(spelling)) return false;
  next();
  return true;
}
bool Parser::skip_word(std::string_view word) {
  if (!is_word(word)) return false;
  next();
  return true;
}
Status Parser::expect_operator(std::string_view spelling) {
  if (skip_operator(spelling)) return {};
  Error error = unexpected();
  error.expected = fmt::format("'{}'", spelling);
  return error;
}
Status Parser::expect_word(std::string_view word) {
  if (skip_word(word)) return {};
  Error error = unexpected();
  error.expected = fmt::format("'{}'", word);
  return error;
}
Status Parser::expect(TokenType type) {
  if (current().type != type) return unexpected();
  next();
  return {};
}
Result<std::string> Parser::expect_name() {
  if (current().type != TokenType::kName) {
    Error error = unexpected();
    error.expected = "a name";
    return error;
  }
  std::string name = current().text;
  next();
  return name;
}

Error Parser::fail(std::string what) const {
  return syntax_error(program_.where, current().line, std::move(what));
}

Error Parser::unexpected() const {
  switch (current().type) {
    case TokenType::kEnd:
      return fail("unexpected end of template");
    case TokenType::kPrintEnd:
      return fail("unexpected end of print statement");
    case TokenType::kBlockEnd:
      return fail("unexpected end of statement block");
    default:
      return fail(fmt::format("unexpected '{}'", current().text));
  }
}

MutableNode Parser::make(Op op) const {
  auto node = std::make_unique<Node>();
  node->op = op;
  node->line = current().line;
  return node;
}

namespace {
void raise_depth(int& depth, const NodePtr& child) {
  if (child) depth = std::max(depth, child->depth + 1);
}
}  // namespace

Result<NodePtr> Parser::finish(MutableNode node) const {
  for (const NodePtr& child : node->children) raise_depth(node->depth, child);
  for (const Block& block : node->blocks) {
    for (const NodePtr& child : block) raise_depth(node->depth, child);
  }
  for (const NodePtr& child : node->arguments.positional) raise_depth(node->depth, child);
  for (const auto& [name, child] : node->arguments.named) raise_depth(node->depth, child);
  raise_depth(node->depth, node->arguments.star);
  raise_depth(node->depth, node->arguments.double_star);
  if (node->depth > kMaxTreeDepth) {
    return fail(fmt::format("an expression of more than {} chained parts", kMaxTreeDepth));
  }
  return NodePtr(std::move(node));
}

Result<NodePtr> Parser::unary(Op op, NodePtr operand) const {
  MutableNode node = make(op);
  node->children.push_back(std::move(operand));
  return finish(std::move(node));
}

Result<NodePtr> Parser::binary(Op op, NodePtr left, NodePtr right, int operation) const {
  MutableNode node = make(op);
  node->line = left->line;
  if (operation >= 0) node->operators.push_back(static_cast<Operator>(operation));
  node->children.push_back(std::move(left));
  node->children.push_back(std::move(right));
  return finish(std::move(node));
}

int Parser::intern(const std::string& name) {
  const auto [at, added] = program_.name_index.emplace(name, static_cast<int>(program_.names.size()));
  if (added) program_.names.push_back(name);
  return at->second;
}

Result<NodePtr> Parser::name_node(const std::string& name) {
  for (MacroUse& use : macros_) {
    use.caller |= name == "caller";
    use.varargs |= name == "varargs";
    use.kwargs |= name == "kwargs";
  }
  MutableNode node = make(Op::kName);
  node->name = intern(name);
  node->text = name;
  return finish(std::move(node));
}

Result<Block> Parser::body(std::initializer_list<std::string_view> ends) {
  const Deeper deeper(*this);
  if (deeper.too_deep())
    return fail(fmt::format("expressions and blocks nested more than {} deep", kMaxNesting));
  Block out;
  while (current().type != TokenType::kEnd) {
    if (current().type == TokenType::kText) {
      MutableNode node = make(Op::kText);
      node->text = current().text;
      next();
      out.push_back(TRY(finish(std::move(node))));
    } else if (current().type == TokenType::kPrintBegin) {
      MutableNode node = make(Op::kPrint);
      next();
      node->children.push_back(TRY(tuple({}, true, false)));
      TRY(expect(TokenType::kPrintEnd));
      out.push_back(TRY(finish(std::move(node))));
    } else {
      TRY(expect(TokenType::kBlockBegin));
      const bool ended = std::any_of(ends.begin(), ends.end(), [&](auto end) { return is_word(end); });
      if (ended) return out;
      out.push_back(TRY(statement()));
      TRY(block_end());
    }
  }
  if (ends.size() == 0) return out;
  return fail(fmt::format("Unexpected end of template: the block lacks its '{}'", *(ends.end() - 1)));
}

Status Parser::append_block(Node& node, std::string_view end) {
  TRY(block_end());
  node.blocks.push_back(TRY(body({end})));
  return expect_word(end);
}

Result<std::unique_ptr<const Program>> parse_program(std::string_view source, const std::string& where) {
  const std::string text = TRY(normalise_source(source, where));
  auto program = std::make_unique<Program>();
  program->where = where;
  std::vector<Token> tokens = TRY(tokenize(text, where));
  Parser parser(std::move(tokens), *program);
  program->body = TRY(parser.body({}));
  return std::unique_ptr<const Program>(std::move(program));
}

}  // namespace maestrale::text::jinja
