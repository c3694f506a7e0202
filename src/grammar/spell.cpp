#include "grammar/spell.h"

namespace maestrale::grammar {
namespace {

// "\\n" and the like; `c` is a character that cannot stand for itself.
std::string escaped(char32_t c) {
  constexpr std::string_view kFrom = "\"\\\b\f\n\r\t";
  constexpr std::string_view kTo = "\"\\bfnrt";
  const std::size_t at = c < 0x80 ? kFrom.find(static_cast<char>(c)) : std::string_view::npos;
  if (at != std::string_view::npos) return std::string("\\") + kTo[at];
  constexpr std::string_view kDigits = "0123456789abcdef";
  return std::string("\\u00") + kDigits[c >> 4 & 15] + kDigits[c & 15];
}

}  // namespace

std::string spelled_json(std::string_view text) {
  std::string out = "\"";
  for (const char byte : text) {
    const auto c = static_cast<unsigned char>(byte);
    if (c < 0x20 || c == '"' || c == '\\') {
      out += escaped(c);
    } else {
      out += byte;
    }
  }
  return out + "\"";
}

RuleId Speller::escapes(const CharSet& set) {
  const auto known = escapes_.find(set);
  if (known != escapes_.end()) return known->second;
  const RuleId made = builder_.rule("escape");
  escapes_.emplace(set, made);
  for (const CharRange& range : set.ranges()) {
    for (char32_t c = range.low; c <= range.high; ++c) {
      builder_.text(builder_.start(made), escaped(c), builder_.end(made));
    }
  }
  return made;
}

void Speller::content_character(StateId from, const CharSet& set, StateId to) {
  const CharSet plain = set.intersected(unescaped_characters());
  if (!plain.empty()) builder_.characters(from, plain, to);
  const CharSet special = set.without(unescaped_characters());
  if (!special.empty()) builder_.call(from, escapes(special), to);
}

void Speller::spell(const CharNfa& nfa, StateId from, StateId to, bool json) {
  const CharNfa clean = nfa.without_empties();
  std::vector<StateId> places;
  for (std::size_t i = 0; i < clean.states().size() && !builder_.full(); ++i)
    places.push_back(builder_.state());
  if (builder_.full()) return;
  builder_.empty(from, places[0]);
  for (std::size_t i = 0; i < clean.states().size() && !builder_.full(); ++i) {
    const CharNfa::State& state = clean.states()[i];
    for (const CharNfa::Edge& edge : state.edges) {
      if (json) {
        content_character(places[i], edge.set, places[edge.to]);
      } else {
        builder_.characters(places[i], edge.set, places[edge.to]);
      }
    }
    if (state.accepting) builder_.empty(places[i], to);
  }
}

}  // namespace maestrale::grammar
