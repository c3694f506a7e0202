// The pieces of JSON, or of Python's literals, as rules of a network, each made once and when it is needed.
#pragma once

#include <cstdint>
#include <optional>

#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/network.h"
#include "grammar/spell.h"

namespace maestrale::grammar {

class JsonText {
 public:
  JsonText(NetworkBuilder& builder, const JsonStyle& style)
      : builder_(builder), speller_(builder), style_(style) {}

  ValueSyntax syntax() const { return style_.syntax; }
  // A listed key and what follows it up to its value; nothing where the syntax cannot write it.
  std::optional<std::string> key(std::string_view name) const;
  void blank(StateId from, StateId to);
  void byte(StateId from, char byte, StateId to);
  // Any string of that many code points, in any spelling, with its quotes; most < 0: no limit.
  void string(StateId from, std::int64_t least, std::int64_t most, StateId to);
  // Exactly the strings of `nfa`, each in one spelling.
  void string(StateId from, const CharNfa& nfa, StateId to);
  // A key that `nfa` describes (any key where null), and that the matcher compares with its siblings.
  void free_key(StateId from, const CharNfa* nfa, StateId to);
  void literal(StateId from, const json::value& value, StateId to);
  void number(StateId from, StateId to);
  void integer(StateId from, StateId to);
  RuleId value();
  RuleId object();
  RuleId array();
  Speller& speller() { return speller_; }

 private:
  RuleId character();
  const CharNfa& unquoted();  // kMarked: what a string may hold
  RuleId make(std::optional<RuleId>& rule, const char* name, bool& fresh);

  NetworkBuilder& builder_;
  Speller speller_;
  JsonStyle style_;
  std::optional<CharNfa> unquoted_;
  std::optional<RuleId> blank_, character_, string_, key_, number_, integer_, value_, object_, array_;
};

}  // namespace maestrale::grammar
