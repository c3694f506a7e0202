#include "grammar/network.h"

namespace maestrale::grammar {

const CharSet& unescaped_characters() {
  static const CharSet set = [] {
    CharSet special(0, 0x1f);
    special.add('"', '"');
    special.add('\\', '\\');
    return special.inverted();
  }();
  return set;
}

bool is_plain(char32_t codepoint) {
  if (codepoint < 0x80)
    return codepoint >= 0x20 && codepoint != 0x7f && codepoint != '"' && codepoint != '\\';
  return codepoint >= 0xa0 && codepoint != 0x2028 && codepoint != 0x2029 && codepoint != 0xfeff;
}

const CharSet& plain_characters() {
  static const CharSet set = [] {
    CharSet special(0x7f, 0x9f);
    special.add(0x2028, 0x2029);
    special.add(0xfeff, 0xfeff);
    return unescaped_characters().without(special);
  }();
  return set;
}

StateId NetworkBuilder::state() {
  if (states_.size() >= limits_.states) full_ = true;
  if (!full_) states_.emplace_back();
  return static_cast<StateId>(states_.size() - 1);
}

RuleId NetworkBuilder::rule(std::string name) {
  if (states_.empty()) state();  // so that even a full builder has a state to name
  const StateId start = state();
  rules_.push_back({std::move(name), start, state()});
  return static_cast<RuleId>(rules_.size() - 1);
}

bool NetworkBuilder::count_edge() {
  if (++edges_ > limits_.edges) full_ = true;
  return !full_;
}

void NetworkBuilder::empty(StateId from, StateId to) {
  if (from != to && count_edge()) states_[from].empties.push_back(to);
}

void NetworkBuilder::byte_range(StateId from, std::uint8_t low, std::uint8_t high, StateId to) {
  if (count_edge()) states_[from].bytes.push_back({low, high, to});
}

void NetworkBuilder::call(StateId from, RuleId rule, StateId to) {
  if (count_edge()) states_[from].calls.push_back({rule, to});
}

void NetworkBuilder::plain(StateId from, StateId to) {
  if (count_edge()) states_[from].plain.push_back(to);
}

void NetworkBuilder::text(StateId from, std::string_view text, StateId to) {
  if (text.empty()) return empty(from, to);
  for (std::size_t i = 0; i + 1 < text.size() && !full_; ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    const auto [step, fresh] = text_steps_.try_emplace(std::uint64_t{from} << 8 | byte, 0);
    if (fresh) {
      step->second = state();
      byte_range(from, byte, byte, step->second);
    }
    from = step->second;
  }
  const auto last = static_cast<std::uint8_t>(text.back());
  byte_range(from, last, last, to);
}

// The part of a set beyond ASCII is a rule of its own, shared by all who use it.
RuleId NetworkBuilder::multibyte(const CharSet& set) {
  const auto known = multibyte_.find(set);
  if (known != multibyte_.end()) return known->second;
  const RuleId made = rule("character");
  multibyte_.emplace(set, made);
  // Sequences come sorted: equal beginnings are neighbours, so each new one shares what it can with the last.
  std::array<StateId, 4> path{};
  ByteSequence last;
  for (const ByteSequence& sequence : utf8_sequences(set)) {
    bool shared = last.length == sequence.length;
    StateId from = start(made);
    for (int i = 0; i < sequence.length; ++i) {
      const auto at = static_cast<std::size_t>(i);
      shared = shared && i + 1 < sequence.length && last.ranges[at] == sequence.ranges[at];
      if (!shared) {
        path[at] = i + 1 == sequence.length ? end(made) : state();
        byte_range(from, sequence.ranges[at].low, sequence.ranges[at].high, path[at]);
      }
      from = path[at];
    }
    last = sequence;
  }
  return made;
}

void NetworkBuilder::characters(StateId from, const CharSet& set, StateId to) {
  const CharSet ascii = set.intersected(CharSet(0, 0x7f));
  for (const CharRange& range : ascii.ranges()) {
    byte_range(from, static_cast<std::uint8_t>(range.low), static_cast<std::uint8_t>(range.high), to);
  }
  const CharSet beyond = set.without(CharSet(0, 0x7f));
  if (!beyond.empty() && !full_) call(from, multibyte(beyond), to);
  if (set.includes(plain_characters())) plain(from, to);
}

}  // namespace maestrale::grammar
