// The tree of a regular expression, between its parser and its automaton.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/char_set.h"

namespace maestrale::grammar {

struct RegexNode {
  enum class Kind : std::uint8_t { kSet, kSequence, kAlternatives, kRepeat, kBegin, kEnd } kind;
  CharSet set = {};                       // kSet
  std::vector<std::uint32_t> parts = {};  // of the others; kRepeat has one
  std::int64_t least = 0, most = 0;       // kRepeat; most < 0: no limit
};

class RegexParser {
 public:
  RegexParser(std::string_view pattern, const std::string& where) : text_(pattern), where_(where) {}
  Result<std::uint32_t> parse();  // the root's place in nodes()
  const std::vector<RegexNode>& nodes() const { return nodes_; }

 private:
  static constexpr int kDepthMax = 200;
  static constexpr std::size_t kBytesMax = 10'000;
  Result<std::uint32_t> alternatives(int depth);
  Result<std::uint32_t> sequence(int depth);
  Result<std::uint32_t> atom(int depth);
  Result<std::uint32_t> group(int depth);
  Result<std::uint32_t> repeated(std::uint32_t atom);
  bool braces(std::int64_t& least, std::int64_t& most);
  Result<CharSet> bracket();
  Result<CharSet> bracket_item(bool& single);
  Result<CharSet> escape(bool in_bracket);
  Result<CharSet> escaped_class(char letter, bool& known);
  Result<char32_t> escaped_character(char letter);
  Result<char32_t> unicode_escape();
  Result<CharSet> property(bool inverted);
  Result<char32_t> hex(int digits);
  Result<char32_t> character();
  bool at_end() const { return at_ >= text_.size(); }
  bool next_is(std::string_view ahead) const { return text_.substr(at_).starts_with(ahead); }
  bool take(std::string_view ahead);
  std::uint32_t add(RegexNode node);
  Error wrong(const std::string& what) const;
  Error unsupported(const std::string& what) const;

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::vector<RegexNode> nodes_;
  std::map<std::string, CharSet> properties_;
};

}  // namespace maestrale::grammar
