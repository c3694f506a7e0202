#include "grammar/closures.h"

#include <algorithm>

namespace maestrale::grammar {

Closures::Closures(const NetworkBuilder& builder)
    : builder_(builder),
      seen_(builder.states_.size()),
      rule_end_(builder.states_.size()),
      key_end_(builder.states_.size()) {
  for (const auto& rule : builder.rules_) rule_end_[rule.end] = true;
  for (const StateId state : builder.free_key_ends_) key_end_[state] = true;
  productive_ = reach_ends(true);
  nullable_ = reach_ends(false);
}

// Backwards from the rules' ends; a call counts once its rule's start has been reached.
std::vector<bool> Closures::reach_ends(bool by_bytes) const {
  struct Back {
    StateId from = 0;
    RuleId rule = kNone;  // usable once this rule is reached; kNone: always
  };
  std::vector<std::vector<Back>> back(builder_.states_.size());
  std::vector<std::vector<CallEdge>> waiting(builder_.rules_.size());  // .back: the call's source
  std::vector<std::vector<RuleId>> starts(builder_.states_.size());
  for (RuleId rule = 0; rule < builder_.rules_.size(); ++rule)
    starts[builder_.rules_[rule].start].push_back(rule);
  for (StateId from = 0; from < builder_.states_.size(); ++from) {
    const auto& state = builder_.states_[from];
    for (const StateId to : state.empties) back[to].push_back({from});
    for (const CallEdge& call : state.calls) back[call.back].push_back({from, call.rule});
    if (!by_bytes) continue;
    for (const ByteEdge& edge : state.bytes) back[edge.target].push_back({from});
  }
  std::vector<bool> reached(builder_.states_.size());
  std::vector<bool> usable(builder_.rules_.size());
  std::vector<StateId> queue;
  const auto reach = [&](StateId state) {
    if (reached[state]) return;
    reached[state] = true;
    queue.push_back(state);
  };
  for (const auto& rule : builder_.rules_) reach(rule.end);
  while (!queue.empty()) {
    const StateId state = queue.back();
    queue.pop_back();
    for (const RuleId rule : starts[state]) {
      usable[rule] = true;
      for (const CallEdge& call : waiting[rule]) reach(call.back);
      waiting[rule].clear();
    }
    for (const Back& edge : back[state]) {
      if (edge.rule == kNone || usable[edge.rule]) {
        reach(edge.from);
      } else {
        waiting[edge.rule].push_back({edge.rule, edge.from});
      }
    }
  }
  return reached;
}

void Closures::explore(StateId entry) {
  readers_.clear(), calls_.clear(), plain_.clear(), seen_list_.clear();
  ends_ = free_key_end_ = false;
  std::vector<StateId> stack;
  const auto visit = [&](StateId state) {
    if (seen_[state] || !productive_[state]) return;
    seen_[state] = true;
    seen_list_.push_back(state);
    stack.push_back(state);
  };
  visit(entry);
  while (!stack.empty()) {
    const StateId at = stack.back();
    stack.pop_back();
    const auto& state = builder_.states_[at];
    ends_ = ends_ || rule_end_[at];
    free_key_end_ = free_key_end_ || key_end_[at];
    const auto live = [&](const ByteEdge& edge) { return productive_[edge.target]; };
    if (std::any_of(state.bytes.begin(), state.bytes.end(), live)) readers_.push_back(at);
    for (const StateId to : state.empties) visit(to);
    for (const StateId to : state.plain) {
      if (productive_[to]) plain_.push_back(to);
    }
    for (const CallEdge& call : state.calls) {
      if (!productive_[call.back] || !productive(call.rule)) continue;
      calls_.push_back(call);
      if (nullable_[builder_.rules_[call.rule].start]) visit(call.back);
    }
  }
  for (const StateId state : seen_list_) seen_[state] = false;
  std::sort(readers_.begin(), readers_.end());
  const auto order = [](const CallEdge& a, const CallEdge& b) {
    return std::pair(a.rule, a.back) < std::pair(b.rule, b.back);
  };
  std::sort(calls_.begin(), calls_.end(), order);
  calls_.erase(std::unique(calls_.begin(), calls_.end()), calls_.end());
}

void Closures::enter(StateId state, std::vector<StateId>& waiting, Network& network) const {
  if (network.summary_of_[state] != kNone) return;
  network.summary_of_[state] = 0;  // a place is given when its turn comes
  waiting.push_back(state);
}

Status Closures::fill(Network& network, RuleId root, const std::string& where) {
  network.summary_of_.assign(builder_.states_.size(), kNone);
  std::vector<StateId> waiting;
  enter(builder_.rules_[root].start, waiting, network);
  std::size_t entries = 0;
  while (!waiting.empty()) {
    const StateId entry = waiting.back();
    waiting.pop_back();
    explore(entry);
    entries += seen_list_.size() + readers_.size() + calls_.size() + 1;
    if (entries > builder_.limits_.closures) {
      return Error{.kind = ErrorKind::kResource,
                   .what = "the grammar is too large: too many ways to leave parts out",
                   .where = where,
                   .hint = "use smaller repetition counts"};
    }
    network.summary_of_[entry] = static_cast<std::uint32_t>(network.summaries_.size());
    network.summaries_.push_back({static_cast<std::uint32_t>(network.readers_.size()),
                                  static_cast<std::uint32_t>(network.calls_.size()), 0, ends_,
                                  free_key_end_});
    network.readers_.insert(network.readers_.end(), readers_.begin(), readers_.end());
    network.calls_.insert(network.calls_.end(), calls_.begin(), calls_.end());
    plain_of_.push_back(plain_);
    for (const StateId reader : readers_) {
      for (const ByteEdge& edge : builder_.states_[reader].bytes) {
        if (productive_[edge.target]) enter(edge.target, waiting, network);
      }
    }
    for (const CallEdge& call : calls_) {
      enter(builder_.rules_[call.rule].start, waiting, network);
      enter(call.back, waiting, network);
    }
    for (const StateId to : plain_) enter(to, waiting, network);
  }
  network.summaries_.push_back({static_cast<std::uint32_t>(network.readers_.size()),
                                static_cast<std::uint32_t>(network.calls_.size()), 0, false, false});
  spread_plain(network);
  return {};
}

// plain = the longest promise: one more than at a plain edge's target, or what a called rule begins with.
void Closures::spread_plain(Network& network) const {
  bool changed = true;
  for (int pass = 0; pass < Network::kPlainMax && changed; ++pass) {
    changed = false;
    for (std::size_t i = 0; i + 1 < network.summaries_.size(); ++i) {
      int best = network.summaries_[i].plain;
      for (const StateId to : plain_of_[i]) {
        best = std::max(best, network.summaries_[network.summary_of_[to]].plain + 1);
      }
      for (std::uint32_t c = network.summaries_[i].calls; c < network.summaries_[i + 1].calls; ++c) {
        const StateId begin = builder_.rules_[network.calls_[c].rule].start;
        best = std::max<int>(best, network.summaries_[network.summary_of_[begin]].plain);
      }
      best = std::min(best, Network::kPlainMax);
      changed = changed || best != network.summaries_[i].plain;
      network.summaries_[i].plain = static_cast<std::uint8_t>(best);
    }
  }
}

}  // namespace maestrale::grammar
