#include "grammar/char_nfa.h"

#include <algorithm>
#include <map>

#include "base/utf8.h"

namespace maestrale::grammar {
namespace {

using Set = std::vector<std::uint32_t>;

std::vector<char32_t> code_points(std::string_view text) {
  std::vector<char32_t> out;
  while (!text.empty()) {
    const DecodedCodepoint decoded = decode_utf8(text);
    out.push_back(decoded.codepoint);
    text.remove_prefix(static_cast<std::size_t>(decoded.length));
  }
  return out;
}

// The ranges into which the edges of some states cut the code points.
std::vector<CharRange> pieces(const std::vector<CharNfa::State>& states, const Set& members) {
  std::vector<char32_t> borders{0, 0xd800, 0xe000, 0x110000};
  for (const std::uint32_t member : members) {
    for (const CharNfa::Edge& edge : states[member].edges) {
      for (const CharRange& range : edge.set.ranges()) {
        borders.push_back(range.low);
        borders.push_back(range.high + 1);
      }
    }
  }
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  std::vector<CharRange> out;
  for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
    if (borders[i] != 0xd800) out.push_back({borders[i], borders[i + 1] - 1});
  }
  return out;
}

}  // namespace

std::uint32_t CharNfa::add_state() {
  if (states_.size() >= kStatesMax) full_ = true;
  if (!full_) states_.emplace_back();
  return static_cast<std::uint32_t>(states_.size() - 1);
}

void CharNfa::add_edge(std::uint32_t from, const CharSet& set, std::uint32_t to) {
  if (!full_ && !set.empty()) states_[from].edges.push_back({set, to});
}

void CharNfa::add_assertion(std::uint32_t from, Assertion what, std::uint32_t to) {
  states_[from].assertions.push_back({what, to});
}

CharNfa CharNfa::lengths(std::int64_t least, std::int64_t most) {
  CharNfa out;
  std::uint32_t at = 0;
  for (std::int64_t length = 0; !out.full_; ++length) {
    if (length >= least) out.accept(at);
    if (most < 0 && length >= least) {
      out.add_edge(at, CharSet::all(), at);
      break;
    }
    if (most >= 0 && length >= most) break;
    const std::uint32_t next = out.add_state();
    out.add_edge(at, CharSet::all(), next);
    at = next;
  }
  return out;
}

CharNfa CharNfa::one_of(std::span<const std::string> texts) {
  CharNfa out;
  std::map<std::pair<std::uint32_t, char32_t>, std::uint32_t> known;
  for (const std::string& text : texts) {
    std::uint32_t at = 0;
    for (const char32_t c : code_points(text)) {
      const auto [step, fresh] = known.try_emplace({at, c}, 0);
      if (fresh) {
        step->second = out.add_state();
        out.add_edge(at, CharSet(c, c), step->second);
      }
      at = step->second;
    }
    out.accept(at);
  }
  return out;
}

bool CharNfa::free_of_assertions() const {
  return std::all_of(states_.begin(), states_.end(), [](const State& s) { return s.assertions.empty(); });
}

// Four copies of every state: (at the begin?) x (at the end?). Characters are read in no copy that is at the
// end and lead to those that are not at the begin.
CharNfa CharNfa::without_assertions() const {
  if (free_of_assertions()) return *this;
  CharNfa out;
  out.full_ = full_ || states_.size() * 4 + 1 > kStatesMax;
  if (out.full_) return out;
  out.states_.resize(states_.size() * 4 + 1);
  const auto copy = [](std::uint32_t state, std::uint32_t begin, std::uint32_t end) {
    return state * 4 + begin * 2 + end + 1;
  };
  out.add_empty(0, copy(0, 1, 0));
  for (std::uint32_t state = 0; state < states_.size(); ++state) {
    for (std::uint32_t phase = 0; phase < 4; ++phase) {
      const std::uint32_t begin = phase / 2, end = phase % 2;
      const std::uint32_t from = copy(state, begin, end);
      out.states_[from].accepting = states_[state].accepting;
      for (const std::uint32_t to : states_[state].empties) out.add_empty(from, copy(to, begin, end));
      for (const AssertionEdge& edge : states_[state].assertions) {
        if (edge.what == Assertion::kEnd) out.add_empty(from, copy(edge.to, begin, 1));
        if (edge.what == Assertion::kBegin && begin == 1) out.add_empty(from, copy(edge.to, begin, end));
      }
      if (end == 1) continue;
      for (const Edge& edge : states_[state].edges) out.add_edge(from, edge.set, copy(edge.to, 0, 0));
    }
  }
  return out;
}

Set CharNfa::closed(Set states) const {
  std::vector<bool> seen(states_.size());
  for (const std::uint32_t state : states) seen[state] = true;
  for (std::size_t i = 0; i < states.size(); ++i) {
    for (const std::uint32_t to : states_[states[i]].empties) {
      if (seen[to]) continue;
      seen[to] = true;
      states.push_back(to);
    }
  }
  std::sort(states.begin(), states.end());
  return states;
}

// Only what the start reaches and what reaches an end.
CharNfa CharNfa::trimmed() const {
  std::vector<std::vector<std::uint32_t>> back(states_.size());
  Set forward{0};
  std::vector<bool> reached(states_.size()), useful(states_.size());
  reached[0] = true;
  Set ends;
  for (std::size_t i = 0; i < forward.size(); ++i) {
    const State& state = states_[forward[i]];
    if (state.accepting) ends.push_back(forward[i]), useful[forward[i]] = true;
    for (const Edge& edge : state.edges) {
      back[edge.to].push_back(forward[i]);
      if (!reached[edge.to]) reached[edge.to] = true, forward.push_back(edge.to);
    }
  }
  for (std::size_t i = 0; i < ends.size(); ++i) {
    for (const std::uint32_t from : back[ends[i]]) {
      if (!useful[from]) useful[from] = true, ends.push_back(from);
    }
  }
  std::vector<std::uint32_t> place(states_.size());
  CharNfa out;
  out.full_ = full_;
  for (const std::uint32_t state : forward) {
    if (useful[state] && state != 0)
      place[state] = static_cast<std::uint32_t>(out.states_.size()), out.states_.emplace_back();
  }
  for (const std::uint32_t state : forward) {
    if (!useful[state]) continue;
    std::map<std::uint32_t, CharSet> merged;
    for (const Edge& edge : states_[state].edges) {
      if (useful[edge.to]) merged[place[edge.to]].add(edge.set);
    }
    for (const auto& [to, set] : merged) out.states_[place[state]].edges.push_back({set, to});
    out.states_[place[state]].accepting = states_[state].accepting;
  }
  return out;
}

CharNfa CharNfa::without_empties() const {
  const CharNfa plain = without_assertions();
  if (plain.full_) return plain;
  CharNfa out;
  out.states_.resize(plain.states_.size());
  // Depth-first closures with stamps: sets are small, states many.
  std::vector<std::uint32_t> stamp(plain.states_.size(), 0xffffffff);
  std::size_t edges = 0;
  for (std::uint32_t state = 0; state < plain.states_.size(); ++state) {
    Set closure{state};
    stamp[state] = state;
    for (std::size_t i = 0; i < closure.size(); ++i) {
      const State& member = plain.states_[closure[i]];
      out.states_[state].accepting = out.states_[state].accepting || member.accepting;
      for (const Edge& edge : member.edges) out.states_[state].edges.push_back(edge);
      for (const std::uint32_t to : member.empties) {
        if (stamp[to] != state) stamp[to] = state, closure.push_back(to);
      }
    }
    edges += out.states_[state].edges.size();
    if (edges > 10 * kStatesMax) {
      out.full_ = true;
      return out;
    }
  }
  return out.trimmed();
}

CharNfa CharNfa::intersected(const CharNfa& other) const {
  const CharNfa a = without_empties(), b = other.without_empties();
  CharNfa out;
  out.full_ = a.full_ || b.full_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> known{{{0, 0}, 0}};
  std::vector<std::pair<std::uint32_t, std::uint32_t>> queue{{0, 0}};
  for (std::size_t i = 0; i < queue.size() && !out.full_; ++i) {
    const auto [left, right] = queue[i];
    if (a.states_[left].accepting && b.states_[right].accepting) out.accept(static_cast<std::uint32_t>(i));
    for (const Edge& x : a.states_[left].edges) {
      for (const Edge& y : b.states_[right].edges) {
        const CharSet both = x.set.intersected(y.set);
        if (both.empty()) continue;
        const auto [place, fresh] = known.try_emplace({x.to, y.to}, static_cast<std::uint32_t>(queue.size()));
        if (fresh) queue.emplace_back(x.to, y.to), out.add_state();
        if (out.full_) break;
        out.add_edge(static_cast<std::uint32_t>(i), both, place->second);
      }
    }
  }
  return out.full_ ? out : out.trimmed();
}

CharNfa CharNfa::deterministic() const {
  const CharNfa plain = without_empties();
  CharNfa out;
  out.full_ = plain.full_;
  std::map<Set, std::uint32_t> known{{Set{0}, 0}};
  std::vector<Set> queue{{0}};
  for (std::size_t i = 0; i < queue.size() && !out.full_; ++i) {
    const Set members = queue[i];
    const auto at = static_cast<std::uint32_t>(i);
    std::map<std::uint32_t, CharSet> merged;
    for (const std::uint32_t member : members) {
      if (plain.states_[member].accepting) out.accept(at);
    }
    for (const CharRange& piece : pieces(plain.states_, members)) {
      Set to;
      for (const std::uint32_t member : members) {
        for (const Edge& edge : plain.states_[member].edges) {
          if (edge.set.contains(piece.low)) to.push_back(edge.to);
        }
      }
      std::sort(to.begin(), to.end());
      to.erase(std::unique(to.begin(), to.end()), to.end());
      const auto [place, fresh] = known.try_emplace(to, static_cast<std::uint32_t>(queue.size()));
      if (fresh) queue.push_back(to), out.add_state();
      if (queue.size() > kDeterministicMax) out.full_ = true;
      merged[place->second].add(piece.low, piece.high);
    }
    for (const auto& [to, set] : merged) out.add_edge(at, set, to);
  }
  return out;
}

CharNfa CharNfa::complement() const {
  CharNfa out = deterministic();
  for (State& state : out.states_) state.accepting = !state.accepting;
  return out.full_ ? out : out.trimmed();
}

bool CharNfa::matches_nothing() const {
  const CharNfa plain = without_empties();
  return !plain.full_ && plain.states_.size() == 1 && !plain.states_[0].accepting;
}

bool CharNfa::finite() const {
  const CharNfa plain = without_empties();  // trimmed: any cycle is one that can be repeated
  std::vector<std::uint32_t> entries(plain.states_.size());
  for (const State& state : plain.states_) {
    for (const Edge& edge : state.edges) ++entries[edge.to];
  }
  Set ready;
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    if (entries[i] == 0) ready.push_back(i);
  }
  for (std::size_t i = 0; i < ready.size(); ++i) {
    for (const Edge& edge : plain.states_[ready[i]].edges) {
      if (--entries[edge.to] == 0) ready.push_back(edge.to);
    }
  }
  return ready.size() == plain.states_.size();
}

bool CharNfa::matches(std::string_view text) const {
  if (!free_of_assertions()) return without_assertions().matches(text);
  Set at = closed({0});
  for (const char32_t c : code_points(text)) {
    Set next;
    for (const std::uint32_t state : at) {
      for (const Edge& edge : states_[state].edges) {
        if (edge.set.contains(c)) next.push_back(edge.to);
      }
    }
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    at = closed(std::move(next));
  }
  return std::any_of(at.begin(), at.end(), [&](std::uint32_t state) { return states_[state].accepting; });
}

}  // namespace maestrale::grammar
