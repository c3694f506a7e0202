// The steps from a NetworkBuilder to a Network: which states matter, and where each may go without a byte.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "grammar/network.h"

namespace maestrale::grammar {

class Closures {
 public:
  explicit Closures(const NetworkBuilder& builder);

  bool productive(RuleId rule) const { return productive_[builder_.rules_[rule].start]; }
  const std::vector<bool>& productive_states() const { return productive_; }
  // Fills the summaries of every state that is entered by a byte, a call or a return, from `root` on.
  Status fill(Network& network, RuleId root, const std::string& where);

 private:
  std::vector<bool> reach_ends(bool by_bytes) const;
  void explore(StateId entry);
  void enter(StateId state, std::vector<StateId>& waiting, Network& network) const;
  void spread_plain(Network& network) const;

  const NetworkBuilder& builder_;
  std::vector<bool> productive_;  // by state: the end of its rule can be reached
  std::vector<bool> nullable_;    // by state: without a byte
  // What explore() found.
  std::vector<StateId> readers_, seen_list_, plain_;
  std::vector<CallEdge> calls_;
  bool ends_ = false, free_key_end_ = false;
  std::vector<bool> seen_, rule_end_, key_end_;
  std::vector<std::vector<StateId>> plain_of_;  // by summary
};

}  // namespace maestrale::grammar
