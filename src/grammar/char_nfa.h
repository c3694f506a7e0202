// Finite automata over code points: what a regular expression, a length or a list of names says of the
// content of a string, before it is spelled in bytes. All operations are exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "grammar/char_set.h"

namespace maestrale::grammar {

class CharNfa {
 public:
  static constexpr std::size_t kStatesMax = 100'000;
  static constexpr std::size_t kDeterministicMax = 20'000;
  enum class Assertion : std::uint8_t { kBegin, kEnd };
  struct Edge {
    CharSet set;
    std::uint32_t to = 0;
  };
  struct AssertionEdge {
    Assertion what = Assertion::kBegin;
    std::uint32_t to = 0;
  };
  struct State {
    std::vector<Edge> edges = {};
    std::vector<std::uint32_t> empties = {};
    std::vector<AssertionEdge> assertions = {};
    bool accepting = false;
  };

  CharNfa() : states_(1) {}  // no text at all; state 0 is the start
  static CharNfa any() { return lengths(0, -1); }
  // Strings of that many code points; most < 0: no upper limit.
  static CharNfa lengths(std::int64_t least, std::int64_t most);
  static CharNfa one_of(std::span<const std::string> texts);  // UTF-8

  // Beyond kStatesMax nothing is added, and full() tells; results of operations are full where an operand is.
  bool full() const { return full_; }
  std::uint32_t add_state();
  void add_edge(std::uint32_t from, const CharSet& set, std::uint32_t to);
  void add_empty(std::uint32_t from, std::uint32_t to) { states_[from].empties.push_back(to); }
  void add_assertion(std::uint32_t from, Assertion what, std::uint32_t to);
  void accept(std::uint32_t state) { states_[state].accepting = true; }
  const std::vector<State>& states() const { return states_; }

  CharNfa without_assertions() const;
  CharNfa without_empties() const;  // and without assertions, and only with states that matter
  CharNfa intersected(const CharNfa& other) const;
  CharNfa complement() const;
  CharNfa deterministic() const;  // total: every state has an edge for every character
  bool matches_nothing() const;
  bool finite() const;                        // only so many texts
  bool matches(std::string_view text) const;  // UTF-8

 private:
  bool free_of_assertions() const;
  CharNfa trimmed() const;
  std::vector<std::uint32_t> closed(std::vector<std::uint32_t> states) const;
  std::vector<State> states_;
  bool full_ = false;
};

}  // namespace maestrale::grammar
