#include <fmt/format.h>

#include <array>

#include "text/template/parser_state.h"

namespace maestrale::text::jinja {

Result<NodePtr> Parser::statement() {
  if (current().type != TokenType::kName) return unexpected();
  const std::string word = current().text;
  if (word == "for") return for_statement();
  if (word == "if") return if_statement();
  if (word == "set") return set_statement();
  if (word == "macro") return macro_statement();
  if (word == "call") return call_block();
  if (word == "filter") return filter_block();
  if (word == "with") return with_statement();
  if (word == "generation") return generation();
  if (word == "break") return loop_control(Op::kBreak);
  if (word == "continue") return loop_control(Op::kContinue);
  if (word == "do") return do_statement();
  static constexpr std::array<std::string_view, 9> kRefused = {
      "include", "import", "from", "extends", "block", "autoescape", "trans", "pluralize", "debug"};
  for (const std::string_view refused : kRefused) {
    if (word != refused) continue;
    Error error = fail(fmt::format("the statement '{}' is not supported in chat templates", word));
    error.kind = ErrorKind::kUnsupported;
    return error;
  }
  return fail(fmt::format("Encountered unknown tag '{}'.", word));
}

Result<NodePtr> Parser::for_statement() {
  MutableNode node = make(Op::kFor);
  next();
  node->children.push_back(TRY(target("in", false)));
  TRY(expect_word("in"));
  node->children.push_back(TRY(tuple("recursive", false, false)));
  node->children.push_back(nullptr);
  if (skip_word("if")) node->children[2] = TRY(expression());
  node->recursive = skip_word("recursive");
  TRY(block_end());
  ++loops_;
  node->blocks.push_back(TRY(body({"else", "endfor"})));
  --loops_;
  node->blocks.emplace_back();
  if (skip_word("else")) {
    TRY(block_end());
    node->blocks[1] = TRY(body({"endfor"}));
  }
  TRY(expect_word("endfor"));
  return finish(std::move(node));
}

Result<NodePtr> Parser::if_statement() {
  MutableNode node = make(Op::kIf);
  next();
  while (true) {
    node->children.push_back(TRY(tuple({}, false, false)));
    TRY(block_end());
    node->blocks.push_back(TRY(body({"elif", "else", "endif"})));
    if (skip_word("elif")) continue;
    if (skip_word("else")) {
      TRY(block_end());
      node->blocks.push_back(TRY(body({"endif"})));
    }
    TRY(expect_word("endif"));
    return finish(std::move(node));
  }
}

Result<NodePtr> Parser::single_target(bool with_namespace) {
  if (is_operator("(")) {
    const Deeper deeper(*this);
    if (deeper.too_deep()) return fail(fmt::format("targets nested more than {} deep", kMaxNesting));
    next();
    NodePtr inner = TRY(target({}, with_namespace));
    TRY(expect_operator(")"));
    return inner;
  }
  static constexpr std::array<std::string_view, 6> kConstants = {"true", "false", "none",
                                                                 "True", "False", "None"};
  for (const std::string_view constant : kConstants) {
    if (is_word(constant)) return fail(fmt::format("can't assign to '{}'", constant));
  }
  MutableNode node = make(Op::kName);
  node->text = TRY(expect_name());
  node->name = intern(node->text);
  if (!with_namespace || !is_operator(".")) return finish(std::move(node));
  next();
  MutableNode attribute = make(Op::kAttribute);
  attribute->text = TRY(expect_name());
  attribute->children.push_back(TRY(finish(std::move(node))));
  return finish(std::move(attribute));
}

Result<NodePtr> Parser::target(std::string_view end_word, bool with_namespace) {
  NodePtr first = TRY(single_target(with_namespace));
  if (!is_operator(",")) return first;
  MutableNode node = make(Op::kTuple);
  node->children.push_back(std::move(first));
  while (skip_operator(",")) {
    if (is_operator("=") || is_operator(")") || (!end_word.empty() && is_word(end_word))) break;
    node->children.push_back(TRY(single_target(with_namespace)));
  }
  return finish(std::move(node));
}

Result<NodePtr> Parser::set_statement() {
  MutableNode node = make(Op::kSet);
  next();
  node->children.push_back(TRY(target({}, true)));
  if (skip_operator("=")) {
    node->children.push_back(TRY(tuple({}, true, false)));
    return finish(std::move(node));
  }
  node->op = Op::kSetBlock;
  NodePtr chain;
  while (skip_operator("|")) chain = TRY(filter(std::move(chain)));
  node->children.push_back(std::move(chain));
  TRY(append_block(*node, "endset"));
  return finish(std::move(node));
}

// (a, b, c=1): names to `parameters`, defaults to `children`.
Status Parser::signature(Node& node) {
  TRY(expect_operator("("));
  std::size_t defaults = 0;
  while (!is_operator(")")) {
    if (!node.parameters.empty()) TRY(expect_operator(","));
    const std::string name = TRY(expect_name());
    node.parameters.push_back(intern(name));
    if (skip_operator("=")) {
      node.children.push_back(TRY(expression()));
      ++defaults;
    } else if (defaults > 0) {
      return fail("non-default argument follows default argument");
    }
  }
  next();
  return {};
}

Result<NodePtr> Parser::macro_statement() {
  MutableNode node = make(Op::kMacro);
  next();
  node->text = TRY(expect_name());
  node->name = intern(node->text);
  macros_.emplace_back();
  const int loops = std::exchange(loops_, 0);
  TRY(signature(*node));
  TRY(append_block(*node, "endmacro"));
  loops_ = loops;
  node->uses_caller = macros_.back().caller;
  node->uses_varargs = macros_.back().varargs;
  node->uses_kwargs = macros_.back().kwargs;
  macros_.pop_back();
  return finish(std::move(node));
}

Result<NodePtr> Parser::call_block() {
  MutableNode node = make(Op::kCallBlock);
  next();
  node->text = "caller";
  MutableNode parameters = make(Op::kMacro);
  if (is_operator("(")) TRY(signature(*parameters));
  NodePtr call = TRY(expression());
  if (call->op != Op::kCall) return fail("expected call");
  node->children.push_back(std::move(call));
  for (NodePtr& value : parameters->children) node->children.push_back(std::move(value));
  node->parameters = std::move(parameters->parameters);
  macros_.emplace_back();
  const int loops = std::exchange(loops_, 0);
  TRY(append_block(*node, "endcall"));
  loops_ = loops;
  node->uses_caller = macros_.back().caller;
  node->uses_varargs = macros_.back().varargs;
  node->uses_kwargs = macros_.back().kwargs;
  macros_.pop_back();
  return finish(std::move(node));
}

Result<NodePtr> Parser::filter_block() {
  MutableNode node = make(Op::kFilterBlock);
  next();
  NodePtr chain = TRY(filter(nullptr));
  while (skip_operator("|")) chain = TRY(filter(std::move(chain)));
  node->children.push_back(std::move(chain));
  TRY(append_block(*node, "endfilter"));
  return finish(std::move(node));
}

Result<NodePtr> Parser::with_statement() {
  MutableNode node = make(Op::kWith);
  next();
  while (current().type != TokenType::kBlockEnd) {
    if (!node->children.empty()) TRY(expect_operator(","));
    node->children.push_back(TRY(single_target(false)));
    TRY(expect_operator("="));
    node->children.push_back(TRY(expression()));
  }
  TRY(append_block(*node, "endwith"));
  return finish(std::move(node));
}

Result<NodePtr> Parser::generation() {
  MutableNode node = make(Op::kScope);
  next();
  TRY(append_block(*node, "endgeneration"));
  return finish(std::move(node));
}

Result<NodePtr> Parser::loop_control(Op op) {
  if (loops_ == 0) return fail(fmt::format("'{}' outside of a loop", current().text));
  MutableNode node = make(op);
  next();
  return finish(std::move(node));
}

Result<NodePtr> Parser::do_statement() {
  MutableNode node = make(Op::kDo);
  next();
  node->children.push_back(TRY(tuple({}, true, false)));
  return finish(std::move(node));
}

}  // namespace maestrale::text::jinja
