// A recursive transition network: finite automata over bytes, one for each rule, whose edges may also call a
// rule. NetworkBuilder collects one; Network is the finished form, trimmed and with its closures computed.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "grammar/char_set.h"

namespace maestrale::grammar {

using StateId = std::uint32_t;
using RuleId = std::uint32_t;
inline constexpr std::uint32_t kNone = 0xffffffff;

struct NetworkLimits {
  std::size_t states = 150'000;
  std::size_t edges = 1'000'000;     // of all kinds
  std::size_t closures = 2'000'000;  // entries of all closures together
};

struct ByteEdge {
  std::uint8_t low = 0, high = 0;  // both inside
  StateId target = 0;
};

struct CallEdge {
  RuleId rule = 0;
  StateId back = 0;  // where the caller goes on
  bool operator==(const CallEdge&) const = default;
};

class NetworkBuilder {
 public:
  explicit NetworkBuilder(const NetworkLimits& limits = {}) : limits_(limits) {}

  // Beyond the limits nothing is added any more, and finish() says so. Loops that emit ask full().
  bool full() const { return full_; }
  StateId state();
  RuleId rule(std::string name);  // with a start and an end state
  StateId start(RuleId rule) const { return rules_[rule].start; }
  StateId end(RuleId rule) const { return rules_[rule].end; }

  void empty(StateId from, StateId to);
  void byte_range(StateId from, std::uint8_t low, std::uint8_t high, StateId to);
  void call(StateId from, RuleId rule, StateId to);
  void text(StateId from, std::string_view text, StateId to);
  // One code point of the set, as UTF-8.
  void characters(StateId from, const CharSet& set, StateId to);
  // A promise: every plain character (see below) leads from `from` to `to` (among
  // others).
  void plain(StateId from, StateId to);
  // A key of an object that the grammar did not choose ends at `state`: it must be compared with the others.
  void free_key_end(StateId state) { free_key_ends_.push_back(state); }

 private:
  friend class Network;
  friend class Closures;
  struct Rule {
    std::string name;
    StateId start = 0, end = 0;
  };
  struct State {
    std::vector<ByteEdge> bytes;
    std::vector<StateId> empties;
    std::vector<CallEdge> calls;
    std::vector<StateId> plain;
  };
  bool count_edge();
  RuleId multibyte(const CharSet& set);

  NetworkLimits limits_;
  std::vector<State> states_;
  std::vector<Rule> rules_;
  std::vector<StateId> free_key_ends_;
  std::map<CharSet, RuleId> multibyte_;
  std::unordered_map<std::uint64_t, StateId> text_steps_;  // (state, byte): texts share their beginnings
  std::size_t edges_ = 0;
  bool full_ = false;
};

// The characters that stand for themselves in a JSON string.
const CharSet& unescaped_characters();
// Of them, those that nearly every class of characters for text contains: no controls, no line separators.
bool is_plain(char32_t codepoint);
const CharSet& plain_characters();

class Network {
 public:
  // Where reading may go on from a state without a byte.
  struct Closure {
    std::span<const StateId> readers;  // states with byte edges
    std::span<const CallEdge> calls;
    bool ends = false;       // the rule may be over
    bool only_end = false;   // and nothing else
    std::uint8_t plain = 0;  // so many plain characters may follow in any choice (at least; up to 255)
    bool free_key_end = false;
  };
  static constexpr int kPlainMax = 64;

  // Errors: kResource (a limit), kInvalidInput (no text at all can match; left recursion).
  static Result<Network> finish(NetworkBuilder builder, RuleId root, const std::string& where);

  Closure closure(StateId state) const;
  std::span<const ByteEdge> edges(StateId state) const {
    return {edges_.data() + edge_begins_[state], edge_begins_[state + 1] - edge_begins_[state]};
  }
  StateId start(RuleId rule) const { return starts_[rule]; }
  std::uint32_t order(RuleId rule) const { return order_[rule]; }  // a rule comes before those it begins with
  std::uint32_t rules() const { return static_cast<std::uint32_t>(starts_.size()); }
  RuleId ordered(std::uint32_t position) const { return ordered_[position]; }
  StateId root() const { return starts_[root_]; }
  // Bytes that no edge tells apart share a class.
  std::uint8_t byte_class(std::uint8_t byte) const { return classes_[byte]; }
  std::uint32_t byte_classes() const { return class_count_; }
  std::uint8_t representative(std::uint32_t byte_class) const { return representatives_[byte_class]; }
  std::size_t bytes() const;  // memory

 private:
  struct Summary {
    std::uint32_t readers = 0, calls = 0;  // begins; the ends are the next summary's begins
    std::uint8_t plain = 0;
    bool ends = false, free_key_end = false;
  };
  void take_edges(const NetworkBuilder& builder, const std::vector<bool>& keep);
  void number_classes();
  Status order_rules(const NetworkBuilder& builder, const std::string& where);
  friend class Closures;

  RuleId root_ = 0;
  std::vector<StateId> starts_;
  std::vector<std::uint32_t> order_;
  std::vector<RuleId> ordered_;
  std::vector<ByteEdge> edges_;
  std::vector<std::uint32_t> edge_begins_;
  std::vector<std::uint32_t> summary_of_;  // by state; kNone: never entered
  std::vector<Summary> summaries_;         // and one more, for the ends
  std::vector<StateId> readers_;
  std::vector<CallEdge> calls_;
  std::array<std::uint8_t, 256> classes_ = {};
  std::vector<std::uint8_t> representatives_;
  std::uint32_t class_count_ = 0;
};

}  // namespace maestrale::grammar
