#include "grammar/state_store.h"

#include <algorithm>

namespace maestrale::grammar {
namespace {

constexpr std::uint32_t kTail = 0xfffffffe;  // marks a call with nothing to come back to
constexpr std::size_t kReachedMax = 20'000;

std::uint64_t pair_key(std::uint32_t a, std::uint32_t b) { return std::uint64_t{a} << 32 | b; }

}  // namespace

StateStore::StateStore(const Network& network, const WalkLimits& limits)
    : network_(network), limits_(limits) {
  std::vector<std::uint32_t> bottom{kNone, 0};
  depths_.push_back(0);
  bool fresh = false;
  stacks_.intern(bottom, fresh);
  begin();
  make();  // kDead
  begin();
  look(network_.closure(network_.root()), kBottom);
  accepting_ = network_.closure(network_.root()).ends;
  enter_rules();
  initial_ = make();
}

StateStore::Id StateStore::advance(Id from, std::uint8_t byte) {
  begin();
  const auto words = configs_.words(from);
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    for (const ByteEdge& edge : network_.edges(words[i])) {
      if (edge.low <= byte && byte <= edge.high) reach(edge.target, words[i + 1]);
    }
  }
  leave_rules();
  enter_rules();
  const Id to = make();
  if (states_[from].row == kNone) {
    states_[from].row = static_cast<std::uint32_t>(rows_.size());
    rows_.resize(rows_.size() + network_.byte_classes(), kNone);
  }
  rows_[states_[from].row + network_.byte_class(byte)] = to;
  return to;
}

void StateStore::begin() {
  reached_.clear(), places_.clear(), reached_set_.clear(), entered_.clear();
  plain_ = 0;
  accepting_ = free_key_end_ = false;
}

void StateStore::reach(StateId state, Stack stack) {
  if (reached_.size() >= kReachedMax || !reached_set_.insert(pair_key(state, stack)).second) return;
  reached_.push_back({state, stack});
}

// What has been reached may be the end of its rule: then its callers have been reached too.
void StateStore::leave_rules() {
  for (std::size_t i = 0; i < reached_.size(); ++i) {
    const Place place = reached_[i];
    const Network::Closure closure = network_.closure(place.state);
    free_key_end_ = free_key_end_ || closure.free_key_end;
    look(closure, place.stack);
    if (!closure.ends) continue;
    const auto frames = stacks_.words(place.stack);
    for (std::size_t f = 0; f < frames.size(); f += 2) {
      if (frames[f] == kNone) {
        accepting_ = true;
      } else {
        reach(frames[f], frames[f + 1]);
      }
    }
  }
}

void StateStore::look(const Network::Closure& closure, Stack stack) {
  plain_ = std::max(plain_, closure.plain);
  for (const StateId reader : closure.readers) places_.push_back({reader, stack});
  for (const CallEdge& call : closure.calls) {
    auto& callers = entered_[call.rule];
    if (callers.empty()) order_.push(network_.order(call.rule));
    const bool tail = network_.closure(call.back).only_end;
    callers.emplace_back(tail ? kTail : call.back, stack);
  }
}

// Rules in the order in which they may begin with one another, so that all callers of one are known.
void StateStore::enter_rules() {
  while (!order_.empty()) {
    const RuleId rule = network_.ordered(order_.top());
    order_.pop();
    const auto callers = std::move(entered_[rule]);
    entered_.erase(rule);
    std::vector<std::pair<std::uint32_t, Stack>> frames;
    std::vector<Stack> tails;
    for (const auto& [back, stack] : callers) {
      if (back == kTail) {
        tails.push_back(stack);
      } else if (depths_[stack] < limits_.frames) {
        frames.emplace_back(back, stack);
      }
    }
    if (frames.empty() && tails.empty()) continue;
    Stack stack = frames.empty() ? tails.front() : merge_frames(frames);
    for (const Stack tail : tails) stack = merge(stack, tail);
    look(network_.closure(network_.start(rule)), stack);
  }
}

StateStore::Id StateStore::make() {
  std::sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
    return pair_key(a.state, a.stack) < pair_key(b.state, b.stack);
  });
  std::vector<std::uint32_t> words;
  for (const Place& place : places_) {
    if (!words.empty() && words[words.size() - 2] == place.state) {
      words.back() = merge(words.back(), place.stack);
    } else {
      words.push_back(place.state);
      words.push_back(place.stack);
    }
  }
  if (words.size() / 2 > limits_.positions) words.clear(), accepting_ = false;
  const bool live = !words.empty();
  words.push_back(std::uint32_t{accepting_} | std::uint32_t{free_key_end_ && (live || accepting_)} << 1);
  bool fresh = false;
  const Id id = configs_.intern(words, fresh);
  if (fresh) {
    states_.push_back({kNone, live ? plain_ : std::uint8_t{0}, accepting_, live, (words.back() & 2) != 0});
  }
  return id;
}

StateStore::Stack StateStore::intern_stack(std::vector<std::uint32_t>& frames) {
  bool fresh = false;
  const Stack stack = stacks_.intern(frames, fresh);
  if (fresh) {
    std::uint32_t depth = 0;
    for (std::size_t i = 0; i < frames.size(); i += 2) {
      if (frames[i] != kNone) depth = std::max(depth, depths_[frames[i + 1]] + 1);
    }
    depths_.push_back(depth);
  }
  return stack;
}

StateStore::Stack StateStore::merge_frames(std::vector<std::pair<std::uint32_t, Stack>>& frames) {
  std::sort(frames.begin(), frames.end());
  std::vector<std::uint32_t> words;
  for (const auto& [back, below] : frames) {
    if (!words.empty() && words[words.size() - 2] == back) {
      words.back() = merge(words.back(), below);
    } else {
      words.push_back(back);
      words.push_back(below);
    }
  }
  return intern_stack(words);
}

// Both sets of stacks. Depth is bounded by WalkLimits::frames.
StateStore::Stack StateStore::merge(Stack a, Stack b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);
  const auto known = merged_.find(pair_key(a, b));
  if (known != merged_.end()) return known->second;
  std::vector<std::pair<std::uint32_t, Stack>> frames;
  for (const Stack stack : {a, b}) {
    const auto words = stacks_.words(stack);
    for (std::size_t i = 0; i < words.size(); i += 2) frames.emplace_back(words[i], words[i + 1]);
  }
  const Stack both = merge_frames(frames);
  merged_.emplace(pair_key(a, b), both);
  return both;
}

StateStore::Stack StateStore::import_stack(const StateStore& other, Stack stack,
                                           std::unordered_map<Stack, Stack>& known) {
  if (stack == kBottom) return kBottom;
  const auto found = known.find(stack);
  if (found != known.end()) return found->second;
  std::vector<std::uint32_t> words;
  const auto theirs = other.stacks_.words(stack);
  for (std::size_t i = 0; i < theirs.size(); i += 2) {
    words.push_back(theirs[i]);
    words.push_back(theirs[i] == kNone ? kBottom : import_stack(other, theirs[i + 1], known));
  }
  const Stack mine = intern_stack(words);
  known.emplace(stack, mine);
  return mine;
}

StateStore::Id StateStore::import(const StateStore& other, Id id) {
  std::unordered_map<Stack, Stack> known;
  const auto theirs = other.configs_.words(id);
  std::vector<std::uint32_t> words(theirs.begin(), theirs.end());
  for (std::size_t i = 1; i < words.size(); i += 2) words[i] = import_stack(other, words[i], known);
  bool fresh = false;
  const Id mine = configs_.intern(words, fresh);
  if (fresh) {
    State state = other.states_[id];
    state.row = kNone;
    states_.push_back(state);
  }
  return mine;
}

std::size_t StateStore::bytes() const {
  return stacks_.bytes() + configs_.bytes() + depths_.size() * 4 + states_.size() * sizeof(State) +
         rows_.size() * sizeof(Id) + merged_.size() * 40;
}

}  // namespace maestrale::grammar
