#include "grammar/gbnf.h"

#include <algorithm>

#include "base/utf8.h"

namespace maestrale::grammar {

Error GbnfParser::wrong(const std::string& what) const {
  const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
  return {.what = "not a GBNF grammar: " + what, .where = where_ + " line " + std::to_string(line)};
}

bool GbnfParser::take(std::string_view ahead) {
  if (!next_is(ahead)) return false;
  at_ += ahead.size();
  return true;
}

std::uint32_t GbnfParser::add(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<std::uint32_t>(nodes_.size() - 1);
}

Result<RuleId> GbnfParser::parse(NetworkBuilder& builder) {
  if (text_.size() > kBytesMax) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the grammar is too long",
                 .where = where_,
                 .expected = "at most " + std::to_string(kBytesMax) + " bytes"};
  }
  if (find_invalid_utf8(text_) != std::string_view::npos) return wrong("it is not UTF-8");
  skip_blanks(true);
  while (!at_end()) {
    TRY(definition());
    skip_blanks(true);
  }
  if (!definitions_.contains("root")) return wrong("there is no rule 'root'");
  TRY(emit_all(builder));
  return rules_.at("root");
}

void GbnfParser::skip_blanks(bool lines) {
  while (!at_end()) {
    const char c = text_[at_];
    if (c == '#') {
      while (!at_end() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
      ++at_;
    } else {
      break;
    }
  }
}

std::string GbnfParser::name() {
  const std::size_t first = at_;
  const auto in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  while (!at_end() && in_name(text_[at_])) ++at_;
  return std::string(text_.substr(first, at_ - first));
}

Status GbnfParser::definition() {
  const std::string rule = name();
  if (rule.empty()) return wrong("a rule's name was expected");
  skip_blanks(false);
  if (!take("::=")) return wrong("`::=` was expected after '" + rule + "'");
  skip_blanks(true);
  const std::uint32_t body = TRY(alternatives(0));
  skip_blanks(false);
  if (!at_end() && !next_is("\n") && !next_is("\r"))
    return wrong("the rule '" + rule + "' does not end here");
  if (!definitions_.emplace(rule, body).second) return wrong("the rule '" + rule + "' is defined twice");
  return {};
}

// At depth 0 a line end closes the rule; inside parentheses it is a blank.
Result<std::uint32_t> GbnfParser::alternatives(int depth) {
  if (depth > kDepthMax)
    return wrong("groups are nested too deeply (limit " + std::to_string(kDepthMax) + ")");
  Node node{Node::Kind::kAlternatives};
  do {
    skip_blanks(true);
    node.parts.push_back(TRY(sequence(depth)));
    skip_blanks(depth > 0);
  } while (take("|"));
  return node.parts.size() == 1 ? node.parts[0] : add(std::move(node));
}

Result<std::uint32_t> GbnfParser::sequence(int depth) {
  Node node{Node::Kind::kSequence};
  while (true) {
    skip_blanks(depth > 0);
    if (at_end() || next_is("|") || next_is(")") || next_is("\n") || next_is("\r")) break;
    const std::uint32_t one = TRY(element(depth));
    node.parts.push_back(TRY(repeated(one, depth)));
  }
  return add(std::move(node));
}

Result<std::uint32_t> GbnfParser::element(int depth) {
  if (next_is("\"")) return literal();
  if (next_is("[")) return bracket();
  if (take(".")) return add({.kind = Node::Kind::kSet, .set = CharSet::all()});
  if (take("(")) {
    const std::uint32_t inside = TRY(alternatives(depth + 1));
    if (!take(")")) return wrong("a `(` without its `)`");
    return inside;
  }
  if (next_is("<") || next_is("!<")) {
    Error error = wrong("elements that name a token (`<…>`) are not supported");
    error.kind = ErrorKind::kUnsupported;
    return error;
  }
  Node node{Node::Kind::kRule};
  node.text = name();
  if (node.text.empty()) return wrong("`" + std::string(text_.substr(at_, 1)) + "` begins no element");
  return add(std::move(node));
}

Result<std::uint32_t> GbnfParser::repeated(std::uint32_t element, int depth) {
  for (int times = 0;; ++times) {
    skip_blanks(depth > 0);
    if (times > kRepetitionsMax) return wrong("too many repetitions of one element");
    Node node{Node::Kind::kRepeat};
    node.parts = {element};
    if (take("*")) {
      node.most = -1;
    } else if (take("+")) {
      node.least = 1;
      node.most = -1;
    } else if (take("?")) {
      node.most = 1;
    } else if (take("{")) {
      TRY(braces(node.least, node.most));
    } else {
      return element;
    }
    element = add(std::move(node));
  }
}

Result<std::int64_t> GbnfParser::number() {
  constexpr std::int64_t kMax = 1'000'000'000;
  if (at_end() || text_[at_] < '0' || text_[at_] > '9') return wrong("a repetition count was expected");
  std::int64_t value = 0;
  for (; !at_end() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
    value = std::min(kMax, value * 10 + (text_[at_] - '0'));
  }
  return value;
}

// After `{`.
Status GbnfParser::braces(std::int64_t& least, std::int64_t& most) {
  skip_blanks(false);
  least = next_is(",") ? 0 : TRY(number());
  most = least;
  skip_blanks(false);
  if (take(",")) {
    skip_blanks(false);
    most = next_is("}") ? -1 : TRY(number());
    skip_blanks(false);
  }
  if (!take("}")) return wrong("a `{` without its `}`");
  if (most >= 0 && least > most) return wrong("repetition counts out of order");
  return {};
}

Result<std::uint32_t> GbnfParser::literal() {
  take("\"");
  Node node{Node::Kind::kText};
  while (!take("\"")) {
    if (at_end()) return wrong("a text without its closing quote");
    append_utf8(node.text, TRY(character()));
  }
  return add(std::move(node));
}

Result<std::uint32_t> GbnfParser::bracket() {
  take("[");
  const bool inverted = take("^");
  Node node{Node::Kind::kSet};
  while (!take("]")) {
    if (at_end()) return wrong("a `[` without its `]`");
    const char32_t low = TRY(character());
    char32_t high = low;
    if (next_is("-") && !next_is("-]")) {
      take("-");
      if (at_end()) return wrong("a `[` without its `]`");
      high = TRY(character());
    }
    if (high < low) return wrong("a range out of order");
    node.set.add(low, high);
  }
  if (inverted) node.set = node.set.inverted();
  return add(std::move(node));
}

Result<char32_t> GbnfParser::hex(int digits) {
  char32_t value = 0;
  for (int i = 0; i < digits; ++i, ++at_) {
    const char c = at_end() ? ' ' : text_[at_];
    const std::size_t digit =
        std::string_view("0123456789abcdef").find(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
    if (digit == std::string_view::npos) return wrong("a hexadecimal digit is missing");
    value = value * 16 + static_cast<char32_t>(digit);
  }
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return wrong("not a Unicode character");
  return value;
}

Result<char32_t> GbnfParser::character() {
  if (!take("\\")) {
    const DecodedCodepoint decoded = decode_utf8(text_.substr(at_));
    at_ += static_cast<std::size_t>(decoded.length);
    return decoded.codepoint;
  }
  const char letter = at_end() ? ' ' : text_[at_++];
  switch (letter) {
    case 'x':
      return hex(2);
    case 'u':
      return hex(4);
    case 'U':
      return hex(8);
    case 't':
      return U'\t';
    case 'r':
      return U'\r';
    case 'n':
      return U'\n';
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^':
      return static_cast<char32_t>(letter);
    default:
      return wrong(std::string("`\\") + letter + "` has no meaning");
  }
}

Status GbnfParser::emit_all(NetworkBuilder& builder) {
  for (const auto& [rule, body] : definitions_) rules_.emplace(rule, builder.rule(rule));
  for (const Node& node : nodes_) {
    if (node.kind == Node::Kind::kRule && !definitions_.contains(node.text)) {
      return Error{.what = "not a GBNF grammar: the rule '" + node.text + "' is not defined",
                   .where = where_};
    }
  }
  for (const auto& [rule, body] : definitions_) {
    const RuleId id = rules_.at(rule);
    emit(builder, body, builder.start(id), builder.end(id));
  }
  return {};
}

void GbnfParser::emit(NetworkBuilder& builder, std::uint32_t at, StateId from, StateId to) const {
  if (builder.full()) return;
  const Node& node = nodes_[at];
  switch (node.kind) {
    case Node::Kind::kText:
      return builder.text(from, node.text, to);
    case Node::Kind::kSet:
      return builder.characters(from, node.set, to);
    case Node::Kind::kRule:
      return builder.call(from, rules_.at(node.text), to);
    case Node::Kind::kAlternatives:
      for (const std::uint32_t part : node.parts) emit(builder, part, from, to);
      return;
    case Node::Kind::kSequence:
      for (const std::uint32_t part : node.parts) {
        const StateId next = builder.state();
        emit(builder, part, from, next);
        from = next;
      }
      return builder.empty(from, to);
    case Node::Kind::kRepeat:
      return emit_repeat(builder, node, from, to);
  }
}

void GbnfParser::emit_repeat(NetworkBuilder& builder, const Node& node, StateId from, StateId to) const {
  const auto one = [&](StateId at) {
    const StateId next = builder.state();
    emit(builder, node.parts[0], at, next);
    return next;
  };
  StateId at = builder.state();
  builder.empty(from, at);
  for (std::int64_t i = 0; i < node.least && !builder.full(); ++i) at = one(at);
  if (node.most < 0) {
    const StateId loop = builder.state();
    builder.empty(at, loop);
    builder.empty(one(loop), loop);
    return builder.empty(loop, to);
  }
  for (std::int64_t i = node.least; i < node.most && !builder.full(); ++i) {
    builder.empty(at, to);
    at = one(at);
  }
  builder.empty(at, to);
}

}  // namespace maestrale::grammar
