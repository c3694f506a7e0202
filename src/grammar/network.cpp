#include "grammar/network.h"

#include <algorithm>

#include "grammar/closures.h"

namespace maestrale::grammar {

Result<Network> Network::finish(NetworkBuilder builder, RuleId root, const std::string& where) {
  if (builder.full()) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the grammar is too large",
                 .where = where,
                 .expected = "at most " + std::to_string(builder.limits_.states) + " states and " +
                             std::to_string(builder.limits_.edges) + " edges",
                 .hint = "use smaller repetition counts or fewer alternatives"};
  }
  Closures closures(builder);
  if (!closures.productive(root)) return Error{.what = "no text at all can match", .where = where};
  Network network;
  network.root_ = root;
  for (const auto& rule : builder.rules_) network.starts_.push_back(rule.start);
  TRY(closures.fill(network, root, where));
  network.take_edges(builder, closures.productive_states());
  network.number_classes();
  TRY(network.order_rules(builder, where));
  return network;
}

Network::Closure Network::closure(StateId state) const {
  const Summary& at = summaries_[summary_of_[state]];
  const Summary& next = summaries_[summary_of_[state] + 1];
  Closure closure{.readers = {readers_.data() + at.readers, next.readers - at.readers},
                  .calls = {calls_.data() + at.calls, next.calls - at.calls},
                  .ends = at.ends,
                  .plain = at.plain,
                  .free_key_end = at.free_key_end};
  closure.only_end = closure.ends && closure.readers.empty() && closure.calls.empty() && !at.free_key_end;
  return closure;
}

void Network::take_edges(const NetworkBuilder& builder, const std::vector<bool>& keep) {
  std::vector<bool> reads(builder.states_.size());
  for (const StateId state : readers_) reads[state] = true;
  for (StateId state = 0; state < builder.states_.size(); ++state) {
    edge_begins_.push_back(static_cast<std::uint32_t>(edges_.size()));
    if (!reads[state]) continue;
    for (const ByteEdge& edge : builder.states_[state].bytes) {
      if (keep[edge.target]) edges_.push_back(edge);
    }
  }
  edge_begins_.push_back(static_cast<std::uint32_t>(edges_.size()));
}

// Two neighbouring bytes differ if some edge begins or ends between them; classes of equal signatures are not
// searched for: there are few enough.
void Network::number_classes() {
  std::array<bool, 257> border{};
  for (const ByteEdge& edge : edges_) {
    border[edge.low] = true;
    border[edge.high + std::size_t{1}] = true;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (byte == 0 || border[byte]) representatives_.push_back(static_cast<std::uint8_t>(byte));
    classes_[byte] = static_cast<std::uint8_t>(representatives_.size() - 1);
  }
  class_count_ = static_cast<std::uint32_t>(representatives_.size());
}

// Depth first over "may begin with"; a rule that may begin with itself is refused. Rules that are never
// called from the root have no summary and come anywhere.
Status Network::order_rules(const NetworkBuilder& builder, const std::string& where) {
  enum class Mark : std::uint8_t { kNew, kOpen, kDone };
  std::vector<Mark> marks(starts_.size(), Mark::kNew);
  struct Frame {
    RuleId rule = 0;
    std::size_t next = 0;
  };
  for (RuleId first = 0; first < starts_.size(); ++first) {
    if (marks[first] != Mark::kNew) continue;
    std::vector<Frame> stack{{first}};
    marks[first] = Mark::kOpen;
    while (!stack.empty()) {
      Frame& top = stack.back();
      const bool known = summary_of_[starts_[top.rule]] != kNone;
      const auto calls = known ? closure(starts_[top.rule]).calls : std::span<const CallEdge>{};
      if (top.next == calls.size()) {
        marks[top.rule] = Mark::kDone;
        ordered_.push_back(top.rule);
        stack.pop_back();
        continue;
      }
      const RuleId called = calls[top.next++].rule;
      if (marks[called] == Mark::kOpen) {
        return Error{
            .what = "rule '" + builder.rules_[called].name + "' may begin with itself (left recursion)",
            .where = where,
            .hint = "write it as a repetition or with the recursion at the end"};
      }
      if (marks[called] == Mark::kDone) continue;
      marks[called] = Mark::kOpen;
      stack.push_back({called});
    }
  }
  std::reverse(ordered_.begin(), ordered_.end());
  order_.resize(starts_.size());
  for (std::uint32_t i = 0; i < ordered_.size(); ++i) order_[ordered_[i]] = i;
  return {};
}

std::size_t Network::bytes() const {
  return edges_.size() * sizeof(ByteEdge) + edge_begins_.size() * 8 + summaries_.size() * sizeof(Summary) +
         readers_.size() * sizeof(StateId) + calls_.size() * sizeof(CallEdge);
}

}  // namespace maestrale::grammar
