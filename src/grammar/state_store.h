// The deterministic form of a network, made as far as it is walked. A position is the set of all (network
// state, stack of returns) that the text so far can have led to; the stacks of one network state are merged
// into one tree-like node, so that ambiguity costs no more than the number of network states.
#pragma once

#include <cstdint>
#include <queue>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "grammar/intern.h"
#include "grammar/network.h"

namespace maestrale::grammar {

// Beyond these a way on is not taken: a text may then not be continued that the grammar would allow, never
// the other way round.
struct WalkLimits {
  std::uint32_t frames = 256;    // rules entered and not left
  std::size_t positions = 1000;  // network states at once
};

class StateStore {
 public:
  using Id = std::uint32_t;
  static constexpr Id kDead = 0;

  explicit StateStore(const Network& network, const WalkLimits& limits = {});

  Id initial() const { return initial_; }
  Id step(Id from, std::uint8_t byte) {
    const State& state = states_[from];
    if (state.row != kNone) {
      const Id known = rows_[state.row + network_.byte_class(byte)];
      if (known != kNone) return known;
    }
    return advance(from, byte);
  }
  bool accepting(Id id) const { return states_[id].accepting; }
  bool live(Id id) const { return states_[id].live; }  // some byte may follow
  bool free_key_end(Id id) const { return states_[id].free_key_end; }
  int plain(Id id) const { return states_[id].plain; }  // see Network::Closure
  std::size_t width(Id id) const { return configs_.words(id).size() / 2 + 1; }
  // The same position, made in this store. Both stores stand on one network.
  Id import(const StateStore& other, Id id);
  std::size_t bytes() const;

 private:
  using Stack = std::uint32_t;
  static constexpr Stack kBottom = 0;
  struct State {
    std::uint32_t row = kNone;
    std::uint8_t plain = 0;
    bool accepting = false, live = false, free_key_end = false;
  };
  struct Place {
    StateId state = 0;  // of the network; a reader, or where a byte, a call or a return has led to
    Stack stack = 0;
  };

  Id advance(Id from, std::uint8_t byte);
  void begin();
  void reach(StateId state, Stack stack);
  void leave_rules();
  void enter_rules();
  void look(const Network::Closure& closure, Stack stack);
  Id make();
  Stack intern_stack(std::vector<std::uint32_t>& frames);
  Stack merge(Stack a, Stack b);
  Stack merge_frames(std::vector<std::pair<std::uint32_t, Stack>>& frames);
  Stack import_stack(const StateStore& other, Stack stack, std::unordered_map<Stack, Stack>& known);

  const Network& network_;
  WalkLimits limits_;
  Interner stacks_;                    // words: return state, stack below, … ; sorted by return state
  Interner configs_;                   // words: state, stack, … ; and one word of flags
  std::vector<std::uint32_t> depths_;  // of the stacks
  std::vector<State> states_;
  std::vector<Id> rows_;
  std::unordered_map<std::uint64_t, Stack> merged_;
  Id initial_ = 0;

  // Scratch of one step.
  std::vector<Place> reached_, places_;
  std::unordered_set<std::uint64_t> reached_set_;
  std::unordered_map<RuleId, std::vector<std::pair<std::uint32_t, Stack>>> entered_;
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> order_;
  std::uint8_t plain_ = 0;
  bool accepting_ = false, free_key_end_ = false;
};

}  // namespace maestrale::grammar
