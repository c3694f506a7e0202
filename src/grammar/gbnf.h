// llama.cpp's GBNF: its parser. The tree is in nodes of alternatives and sequences, as in regex_tree.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/char_set.h"
#include "grammar/network.h"

namespace maestrale::grammar {

class GbnfParser {
 public:
  GbnfParser(std::string_view source, const std::string& where) : text_(source), where_(where) {}
  // The network and the rule `root` in it.
  Result<RuleId> parse(NetworkBuilder& builder);

 private:
  static constexpr int kDepthMax = 200;
  static constexpr int kRepetitionsMax = 8;  // as in `x*?+`
  static constexpr std::size_t kBytesMax = 1'000'000;
  struct Node {
    enum class Kind : std::uint8_t { kText, kSet, kRule, kSequence, kAlternatives, kRepeat } kind;
    std::string text = {};  // kText; kRule: its name
    CharSet set = {};
    std::vector<std::uint32_t> parts = {};
    std::int64_t least = 0, most = 0;  // kRepeat; most < 0: no limit
  };

  Status definition();
  Result<std::uint32_t> alternatives(int depth);
  Result<std::uint32_t> sequence(int depth);
  Result<std::uint32_t> element(int depth);
  Result<std::uint32_t> repeated(std::uint32_t element, int depth);
  Status braces(std::int64_t& least, std::int64_t& most);
  Result<std::int64_t> number();
  Result<std::uint32_t> literal();
  Result<std::uint32_t> bracket();
  Result<char32_t> character();
  Result<char32_t> hex(int digits);
  std::string name();
  void skip_blanks(bool lines);
  bool at_end() const { return at_ >= text_.size(); }
  bool next_is(std::string_view ahead) const { return text_.substr(at_).starts_with(ahead); }
  bool take(std::string_view ahead);
  std::uint32_t add(Node node);
  Error wrong(const std::string& what) const;

  Status emit_all(NetworkBuilder& builder);
  void emit(NetworkBuilder& builder, std::uint32_t at, StateId from, StateId to) const;
  void emit_repeat(NetworkBuilder& builder, const Node& node, StateId from, StateId to) const;

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::vector<Node> nodes_;
  std::map<std::string, std::uint32_t> definitions_;
  std::map<std::string, RuleId> rules_;
};

}  // namespace maestrale::grammar
