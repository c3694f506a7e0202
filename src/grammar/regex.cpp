#include "grammar/regex.h"

#include "grammar/regex_tree.h"

namespace maestrale::grammar {
namespace {

class RegexEmitter {
 public:
  RegexEmitter(const std::vector<RegexNode>& nodes, CharNfa& nfa) : nodes_(nodes), nfa_(nfa) {}

  void emit(std::uint32_t at, std::uint32_t from, std::uint32_t to) {
    if (nfa_.full()) return;
    const RegexNode& node = nodes_[at];
    switch (node.kind) {
      case RegexNode::Kind::kSet:
        return nfa_.add_edge(from, node.set, to);
      case RegexNode::Kind::kBegin:
        return nfa_.add_assertion(from, CharNfa::Assertion::kBegin, to);
      case RegexNode::Kind::kEnd:
        return nfa_.add_assertion(from, CharNfa::Assertion::kEnd, to);
      case RegexNode::Kind::kAlternatives:
        for (const std::uint32_t part : node.parts) emit(part, from, to);
        return;
      case RegexNode::Kind::kSequence:
        return sequence(node, from, to);
      case RegexNode::Kind::kRepeat:
        return repeat(node, from, to);
    }
  }

 private:
  void sequence(const RegexNode& node, std::uint32_t from, std::uint32_t to) {
    for (const std::uint32_t part : node.parts) {
      const std::uint32_t next = nfa_.add_state();
      emit(part, from, next);
      from = next;
    }
    nfa_.add_empty(from, to);
  }

  void repeat(const RegexNode& node, std::uint32_t from, std::uint32_t to) {
    std::uint32_t at = nfa_.add_state();
    nfa_.add_empty(from, at);
    for (std::int64_t i = 0; i < node.least && !nfa_.full(); ++i) at = one(node.parts[0], at);
    if (node.most < 0) {
      const std::uint32_t loop = nfa_.add_state();
      nfa_.add_empty(at, loop);
      nfa_.add_empty(one(node.parts[0], loop), loop);
      nfa_.add_empty(loop, to);
      return;
    }
    for (std::int64_t i = node.least; i < node.most && !nfa_.full(); ++i) {
      nfa_.add_empty(at, to);
      at = one(node.parts[0], at);
    }
    nfa_.add_empty(at, to);
  }

  std::uint32_t one(std::uint32_t part, std::uint32_t from) {
    const std::uint32_t next = nfa_.add_state();
    emit(part, from, next);
    return next;
  }

  const std::vector<RegexNode>& nodes_;
  CharNfa& nfa_;
};

}  // namespace

Result<CharNfa> parse_regex(std::string_view pattern, RegexUse use, const std::string& where) {
  RegexParser parser(pattern, where);
  const std::uint32_t root = TRY(parser.parse());
  CharNfa nfa;
  std::uint32_t first = 0;
  std::uint32_t last = nfa.add_state();
  nfa.accept(last);
  if (use == RegexUse::kSearch) {
    nfa.add_edge(0, CharSet::all(), 0);
    first = nfa.add_state();
    nfa.add_empty(0, first);
    nfa.add_edge(last, CharSet::all(), last);
  }
  RegexEmitter(parser.nodes(), nfa).emit(root, first, last);
  nfa = nfa.without_assertions();
  if (nfa.full()) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the regular expression is too large",
                 .where = where,
                 .expected = "at most " + std::to_string(CharNfa::kStatesMax) + " states",
                 .hint = "use smaller repetition counts"};
  }
  return nfa;
}

}  // namespace maestrale::grammar
