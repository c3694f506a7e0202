// From an automaton over code points to bytes of a network.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "grammar/char_nfa.h"
#include "grammar/network.h"

namespace maestrale::grammar {

// A string as JSON, quotes included, in the one spelling that Speller::content gives it: what can stand for
// itself does, other characters have their short escape or \u00xx.
std::string spelled_json(std::string_view text);

class Speller {
 public:
  explicit Speller(NetworkBuilder& builder) : builder_(builder) {}

  // The texts of `nfa` in UTF-8.
  void text(const CharNfa& nfa, StateId from, StateId to) { spell(nfa, from, to, false); }
  // The same as the content of a JSON string, one spelling for each text.
  void content(const CharNfa& nfa, StateId from, StateId to) { spell(nfa, from, to, true); }
  // One character of `set` in that spelling.
  void content_character(StateId from, const CharSet& set, StateId to);

 private:
  void spell(const CharNfa& nfa, StateId from, StateId to, bool json);
  RuleId escapes(const CharSet& set);
  NetworkBuilder& builder_;
  std::map<CharSet, RuleId> escapes_;
};

}  // namespace maestrale::grammar
