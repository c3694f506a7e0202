// The parser's two halves (expressions, statements) share this state.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "text/template/ast.h"
#include "text/template/lexer.h"
#include "text/template/parser.h"

namespace maestrale::text::jinja {

using MutableNode = std::unique_ptr<Node>;

class Parser {
 public:
  Parser(std::vector<Token> tokens, Program& program) : tokens_(std::move(tokens)), program_(program) {}
  Result<Block> body(
      std::initializer_list<std::string_view> ends);  // up to {% one of ends; that word is current
  bool finished() const { return current().type == TokenType::kEnd; }

 private:
  // tokens
  const Token& current() const { return tokens_[position_]; }
  const Token& ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  void next() { position_ += position_ + 1 < tokens_.size() ? 1 : 0; }
  bool is_operator(std::string_view spelling) const;
  bool is_word(std::string_view word) const;
  bool skip_operator(std::string_view spelling);
  bool skip_word(std::string_view word);
  Status expect_operator(std::string_view spelling);
  Status expect_word(std::string_view word);
  Status expect(TokenType type);
  Result<std::string> expect_name();
  Error fail(std::string what) const;
  Error unexpected() const;

  // nodes
  MutableNode make(Op op) const;
  Result<NodePtr> finish(MutableNode node) const;  // checks the depth
  Result<NodePtr> unary(Op op, NodePtr operand) const;
  Result<NodePtr> binary(Op op, NodePtr left, NodePtr right, int operation = -1) const;
  int intern(const std::string& name);
  Result<NodePtr> name_node(const std::string& name);

  // expressions, loosest first
  Result<NodePtr> expression(bool with_conditional = true);
  Result<NodePtr> conditional();
  Result<NodePtr> disjunction();
  Result<NodePtr> conjunction();
  Result<NodePtr> negation();
  Result<NodePtr> comparison();
  Result<NodePtr> sum();
  Result<NodePtr> concatenation();
  Result<NodePtr> product();
  Result<NodePtr> power();
  Result<NodePtr> signed_value(bool with_filter = true);
  Result<NodePtr> primary();
  Result<NodePtr> literal();
  Result<NodePtr> postfix(NodePtr node);
  Result<NodePtr> filters(NodePtr node);
  Result<NodePtr> filter(NodePtr input);
  Result<NodePtr> test(NodePtr subject);
  Result<NodePtr> subscript(NodePtr object);
  Result<NodePtr> attribute(NodePtr object);
  Result<NodePtr> call(NodePtr callee);
  Result<ArgumentNodes> arguments();
  Status argument(ArgumentNodes& out);
  Result<NodePtr> list();
  Result<NodePtr> dict();
  // a, b, c or just a. `ends` stop it: a name, or any closing delimiter.
  Result<NodePtr> tuple(std::string_view end_word, bool with_conditional, bool explicit_parentheses);
  bool ends_tuple(std::string_view end_word) const;

  // statements
  Result<NodePtr> statement();
  Result<NodePtr> for_statement();
  Result<NodePtr> if_statement();
  Result<NodePtr> set_statement();
  Result<NodePtr> macro_statement();
  Result<NodePtr> call_block();
  Result<NodePtr> filter_block();
  Result<NodePtr> with_statement();
  Result<NodePtr> generation();
  Result<NodePtr> loop_control(Op op);
  Result<NodePtr> do_statement();
  Status signature(Node& node);
  Result<NodePtr> target(std::string_view end_word, bool with_namespace);
  Result<NodePtr> single_target(bool with_namespace);
  Status block_end() { return expect(TokenType::kBlockEnd); }
  Status append_block(Node& node, std::string_view end);  // body and its end tag

  struct Deeper;
  struct MacroUse {
    bool caller = false, varargs = false, kwargs = false;
  };
  std::vector<Token> tokens_;
  Program& program_;
  std::size_t position_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // for loops round this place, within the current macro
  std::vector<MacroUse> macros_;

  friend Result<std::unique_ptr<const Program>> parse_program(std::string_view, const std::string&);
};

// Counts one level of nesting while it lives.
struct Parser::Deeper {
  explicit Deeper(Parser& parser) : parser_(parser) { ++parser_.nesting_; }
  ~Deeper() { --parser_.nesting_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  bool too_deep() const { return parser_.nesting_ > kMaxNesting; }
  Parser& parser_;
};

}  // namespace maestrale::text::jinja
