#include "grammar/regex_tree.h"

#include "base/utf8.h"

namespace maestrale::grammar {
namespace {

constexpr std::int64_t kCountMax = 1'000'000'000;

CharSet line_ends() {
  CharSet set('\n', '\n');
  set.add('\r', '\r');
  set.add(0x2028, 0x2029);
  return set;
}

}  // namespace

Error RegexParser::wrong(const std::string& what) const {
  return {.what = "not a regular expression: " + what,
          .where = where_ + " at byte " + std::to_string(at_),
          .found = std::string(text_)};
}

Error RegexParser::unsupported(const std::string& what) const {
  return {.kind = ErrorKind::kUnsupported,
          .what = what + " in a regular expression cannot be kept by an automaton",
          .where = where_ + " at byte " + std::to_string(at_),
          .found = std::string(text_)};
}

bool RegexParser::take(std::string_view ahead) {
  if (!next_is(ahead)) return false;
  at_ += ahead.size();
  return true;
}

std::uint32_t RegexParser::add(RegexNode node) {
  nodes_.push_back(std::move(node));
  return static_cast<std::uint32_t>(nodes_.size() - 1);
}

Result<std::uint32_t> RegexParser::parse() {
  if (text_.size() > kBytesMax) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the regular expression is too long",
                 .where = where_,
                 .expected = "at most " + std::to_string(kBytesMax) + " bytes",
                 .found = std::to_string(text_.size())};
  }
  if (find_invalid_utf8(text_) != std::string_view::npos) return wrong("it is not UTF-8");
  const std::uint32_t root = TRY(alternatives(0));
  if (!at_end()) return wrong("a `)` without its `(`");
  return root;
}

Result<std::uint32_t> RegexParser::alternatives(int depth) {
  if (depth > kDepthMax)
    return wrong("groups are nested too deeply (limit " + std::to_string(kDepthMax) + ")");
  RegexNode node{RegexNode::Kind::kAlternatives};
  do {
    node.parts.push_back(TRY(sequence(depth)));
  } while (take("|"));
  return node.parts.size() == 1 ? node.parts[0] : add(std::move(node));
}

Result<std::uint32_t> RegexParser::sequence(int depth) {
  RegexNode node{RegexNode::Kind::kSequence};
  while (!at_end() && !next_is("|") && !next_is(")")) {
    if (take("^")) {
      node.parts.push_back(add({RegexNode::Kind::kBegin}));
    } else if (take("$")) {
      node.parts.push_back(add({RegexNode::Kind::kEnd}));
    } else {
      const std::uint32_t one = TRY(atom(depth));
      node.parts.push_back(TRY(repeated(one)));
    }
  }
  return add(std::move(node));
}

Result<std::uint32_t> RegexParser::atom(int depth) {
  if (take("(")) return group(depth);
  if (next_is("*") || next_is("+") || next_is("?")) return wrong("nothing to repeat");
  RegexNode node{RegexNode::Kind::kSet};
  if (take(".")) {
    node.set = line_ends().inverted();
  } else if (take("[")) {
    node.set = TRY(bracket());
  } else if (take("\\")) {
    node.set = TRY(escape(false));
  } else {
    const char32_t c = TRY(character());
    node.set = CharSet(c, c);
  }
  return add(std::move(node));
}

Result<std::uint32_t> RegexParser::group(int depth) {
  if (next_is("?=") || next_is("?!")) return unsupported("look-ahead");
  if (next_is("?<=") || next_is("?<!")) return unsupported("look-behind");
  if (take("?<")) {
    const std::size_t close = text_.find('>', at_);
    if (close == std::string_view::npos || close == at_) return wrong("a group name without its `>`");
    at_ = close + 1;
  } else if (!take("?:") && next_is("?")) {
    return unsupported("`(?" + std::string(text_.substr(at_ + 1, 1)) + "`");
  }
  const std::uint32_t inside = TRY(alternatives(depth + 1));
  if (!take(")")) return wrong("a `(` without its `)`");
  return inside;
}

Result<std::uint32_t> RegexParser::repeated(std::uint32_t atom) {
  RegexNode node{RegexNode::Kind::kRepeat};
  node.parts = {atom};
  if (take("*")) {
    node.most = -1;
  } else if (take("+")) {
    node.least = 1;
    node.most = -1;
  } else if (take("?")) {
    node.most = 1;
  } else if (!braces(node.least, node.most)) {
    return atom;
  }
  if (node.most >= 0 && node.least > node.most) return wrong("a repetition whose counts are out of order");
  take("?");  // lazy: the same texts
  if (next_is("*") || next_is("+") || next_is("?")) return wrong("a repetition of a repetition");
  return add(std::move(node));
}

// `{2}`, `{2,}`, `{2,3}`; anything else after a brace is text.
bool RegexParser::braces(std::int64_t& least, std::int64_t& most) {
  const std::size_t begin = at_;
  const auto number = [&](std::int64_t& value) {
    const std::size_t first = at_;
    for (value = 0; !at_end() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = std::min(kCountMax, value * 10 + (text_[at_] - '0'));
    }
    return at_ > first;
  };
  bool good = take("{") && number(least);
  most = least;
  if (good && take(",") && !number(most)) most = -1;
  good = good && take("}");
  if (!good) at_ = begin;
  return good;
}

Result<CharSet> RegexParser::bracket() {
  const bool inverted = take("^");
  CharSet set;
  while (!take("]")) {
    if (at_end()) return wrong("a `[` without its `]`");
    bool low_single = true, high_single = true;
    const CharSet low = TRY(bracket_item(low_single));
    if (!next_is("-") || next_is("-]")) {
      set.add(low);
      continue;
    }
    take("-");
    if (at_end()) return wrong("a `[` without its `]`");
    const CharSet high = TRY(bracket_item(high_single));
    if (!low_single || !high_single) return wrong("a range that ends in a class");
    const char32_t first = low.ranges()[0].low, last = high.ranges()[0].low;
    if (first > last) return wrong("a range out of order");
    set.add(first, last);
  }
  return inverted ? set.inverted() : set;
}

Result<CharSet> RegexParser::bracket_item(bool& single) {
  if (take("\\")) {
    CharSet set = TRY(escape(true));
    single = set.ranges().size() == 1 && set.ranges()[0].low == set.ranges()[0].high;
    return set;
  }
  const char32_t c = TRY(character());
  return CharSet(c, c);
}

Result<char32_t> RegexParser::character() {
  const DecodedCodepoint decoded = decode_utf8(text_.substr(at_));
  at_ += static_cast<std::size_t>(decoded.length);
  return decoded.codepoint;
}

}  // namespace maestrale::grammar
