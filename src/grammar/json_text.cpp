#include "grammar/json_text.h"

#include <array>
#include <charconv>
#include <string>

#include "base/check.h"
#include "grammar/regex.h"

namespace maestrale::grammar {
namespace {

constexpr std::string_view kInteger = "-?(0|[1-9][0-9]*)";
// Two digits of exponent at most: what follows stays within what a double holds.
constexpr std::string_view kNumber = R"(-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?)";

CharNfa own_regex(std::string_view pattern) {
  auto made = parse_regex(pattern, RegexUse::kWhole, "number");
  CHECK(made, "an expression of ours is wrong");
  return std::move(*made);
}

void hex_digits(NetworkBuilder& builder, StateId from, int count, StateId to) {
  for (int i = 0; i < count; ++i) {
    const StateId next = i + 1 == count ? to : builder.state();
    builder.byte_range(from, '0', '9', next);
    builder.byte_range(from, 'a', 'f', next);
    builder.byte_range(from, 'A', 'F', next);
    from = next;
  }
}

void any_of(NetworkBuilder& builder, StateId from, std::string_view bytes, StateId to) {
  for (const char byte : bytes) {
    builder.byte_range(from, static_cast<std::uint8_t>(byte), static_cast<std::uint8_t>(byte), to);
  }
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string number_text(const json::value& value) {
  std::array<char, 64> buffer{};
  const auto write = [&](auto number) {
    return std::string(buffer.data(),
                       std::to_chars(buffer.data(), buffer.data() + buffer.size(), number).ptr);
  };
  if (value.is_int64()) return write(value.get_int64());
  if (value.is_uint64()) return write(value.get_uint64());
  return write(value.get_double());
}

}  // namespace

std::optional<std::string> JsonText::key(std::string_view name) const {
  if (style_.syntax != ValueSyntax::kMarked) return spelled_json(name) + ":";
  const bool bare = !name.empty() && name.find_first_of(":<") == name.npos && !is_blank(name.front()) &&
                    !is_blank(name.back());
  return bare ? std::optional(std::string(name) + ":") : std::nullopt;
}

// Rows of pieces that begin with '<', go along the mark and leave it before its end.
const CharNfa& JsonText::unquoted() {
  if (unquoted_) return *unquoted_;
  const auto escaped = [](std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '|') out += '\\';
      out += c;
    }
    return out;
  };
  std::string pieces;
  for (std::size_t length = 1; length < style_.quote.size(); ++length) {
    pieces += (length > 1 ? "|" : "") + escaped(style_.quote.substr(0, length)) + "(?:[^<" +
              escaped(style_.quote.substr(length, 1)) + "][^<]*)?";
  }
  unquoted_ = own_regex("[^<]*(?:" + pieces + ")*");
  return *unquoted_;
}

RuleId JsonText::make(std::optional<RuleId>& rule, const char* name, bool& fresh) {
  fresh = !rule;
  if (fresh) rule = builder_.rule(name);
  return *rule;
}

void JsonText::byte(StateId from, char byte, StateId to) {
  builder_.byte_range(from, static_cast<std::uint8_t>(byte), static_cast<std::uint8_t>(byte), to);
}

void JsonText::blank(StateId from, StateId to) {
  if (style_.compact) return builder_.empty(from, to);
  bool fresh = false;
  const RuleId rule = make(blank_, "blank", fresh);
  builder_.call(from, rule, to);
  if (!fresh) return;
  const StateId begin = builder_.start(rule), end = builder_.end(rule);
  builder_.empty(begin, end);
  byte(begin, ' ', end);
  const StateId line = builder_.state();
  StateId at = builder_.state();
  byte(begin, '\n', line);
  builder_.empty(line, at);
  byte(line, '\n', at);
  for (int i = 0; i < 20; ++i) {
    builder_.empty(at, end);
    const StateId next = builder_.state();
    any_of(builder_, at, " \t", next);
    at = next;
  }
  builder_.empty(at, end);
}

// One code point, as itself or escaped; halves of surrogate pairs only together.
RuleId JsonText::character() {
  bool fresh = false;
  const RuleId rule = make(character_, "character", fresh);
  if (!fresh) return rule;
  const StateId end = builder_.end(rule);
  builder_.characters(builder_.start(rule), unescaped_characters(), end);
  const StateId escape = builder_.state(), unicode = builder_.state(), surrogate = builder_.state();
  byte(builder_.start(rule), '\\', escape);
  const bool python = style_.syntax == ValueSyntax::kPython;
  any_of(builder_, escape, python ? "\"\\bfnrt" : "\"\\/bfnrt", end);
  byte(escape, 'u', unicode);
  const StateId three = builder_.state(), two = builder_.state(), low = builder_.state();
  any_of(builder_, unicode, "0123456789abcefABCEF", three);
  hex_digits(builder_, three, 3, end);
  any_of(builder_, unicode, "dD", surrogate);
  any_of(builder_, surrogate, "01234567", two);
  hex_digits(builder_, two, 2, end);
  if (python) return rule;  // there two halves are two characters
  any_of(builder_, surrogate, "89abAB", low);
  const StateId high_done = builder_.state(), last = builder_.state(), last_two = builder_.state();
  hex_digits(builder_, low, 2, high_done);
  const StateId slash = builder_.state(), second = builder_.state();
  byte(high_done, '\\', slash);
  byte(slash, 'u', second);
  any_of(builder_, second, "dD", last);
  any_of(builder_, last, "cdefCDEF", last_two);
  hex_digits(builder_, last_two, 2, end);
  return rule;
}

void JsonText::string(StateId from, std::int64_t least, std::int64_t most, StateId to) {
  if (style_.syntax == ValueSyntax::kMarked) {
    return string(from, least == 0 && most < 0 ? unquoted() : CharNfa::lengths(least, most), to);
  }
  if (least == 0 && most < 0) {
    bool fresh = false;
    const RuleId rule = make(string_, "string", fresh);
    builder_.call(from, rule, to);
    if (!fresh) return;
    from = builder_.start(rule);
    to = builder_.end(rule);
  }
  StateId at = builder_.state();
  byte(from, '"', at);
  for (std::int64_t length = 0; !builder_.full(); ++length) {
    if (length >= least) byte(at, '"', to);
    const bool loop = most < 0 && length >= least;
    if (!loop && length == most) break;
    const StateId next = loop ? at : builder_.state();
    builder_.call(at, character(), next);
    builder_.plain(at, next);
    if (loop) break;
    at = next;
  }
}

void JsonText::string(StateId from, const CharNfa& nfa, StateId to) {
  const StateId first = builder_.state(), last = builder_.state();
  if (style_.syntax == ValueSyntax::kMarked) {
    builder_.text(from, style_.quote, first);
    speller_.text(&nfa == &unquoted() ? nfa : nfa.intersected(unquoted()), first, last);
    return builder_.text(last, style_.quote, to);
  }
  byte(from, '"', first);
  speller_.content(nfa, first, last);
  byte(last, '"', to);
}

void JsonText::free_key(StateId from, const CharNfa* nfa, StateId to) {
  const StateId done = builder_.state();
  builder_.free_key_end(done);
  builder_.empty(done, to);
  if (nfa != nullptr) return string(from, *nfa, done);
  bool fresh = false;
  const RuleId rule = make(key_, "key", fresh);
  builder_.call(from, rule, done);
  if (!fresh) return;
  const StateId at = builder_.state();
  byte(builder_.start(rule), '"', at);
  speller_.content_character(at, CharSet::all(), at);
  builder_.plain(at, at);
  byte(at, '"', builder_.end(rule));
}

void JsonText::number(StateId from, StateId to) {
  bool fresh = false;
  const RuleId rule = make(number_, "number", fresh);
  builder_.call(from, rule, to);
  if (fresh) speller_.text(own_regex(kNumber), builder_.start(rule), builder_.end(rule));
}

void JsonText::integer(StateId from, StateId to) {
  bool fresh = false;
  const RuleId rule = make(integer_, "integer", fresh);
  builder_.call(from, rule, to);
  if (fresh) speller_.text(own_regex(kInteger), builder_.start(rule), builder_.end(rule));
}

void JsonText::literal(StateId from, const json::value& value, StateId to) {
  const bool python = style_.syntax == ValueSyntax::kPython;
  if (value.is_null()) return builder_.text(from, python ? "None" : "null", to);
  if (value.is_bool()) {
    const std::string_view word = value.get_bool() ? "true" : "false",
                           capital = value.get_bool() ? "True" : "False";
    return builder_.text(from, python ? capital : word, to);
  }
  if (value.is_string() && style_.syntax == ValueSyntax::kMarked) {
    const std::string text(value.get_string());
    if (text.find(style_.quote) != text.npos) return;  // there is no way to write it
    return builder_.text(from, style_.quote + text + style_.quote, to);
  }
  if (value.is_string()) return builder_.text(from, spelled_json(value.get_string()), to);
  if (value.is_number()) return builder_.text(from, number_text(value), to);
  const bool object = value.is_object();
  StateId at = builder_.state();
  bool first = true;
  const auto open = [&](bool any) {
    byte(from, object ? '{' : '[', at);
    if (!any) return;
    const StateId next = builder_.state();
    blank(at, next);
    at = next;
  };
  const auto separate = [&] {
    if (!first) {
      const StateId comma = builder_.state(), next = builder_.state();
      byte(at, ',', comma);
      blank(comma, next);
      at = next;
    }
    first = false;
  };
  const auto element = [&](const json::value& part) {
    separate();
    const StateId next = builder_.state();
    literal(at, part, next);
    at = next;
  };
  if (object) {
    open(!value.get_object().empty());
    for (const auto& member : value.get_object()) {
      const auto written = key(member.key());
      if (!written) return;  // there is no way to write it
      separate();
      const StateId colon = builder_.state(), next = builder_.state();
      builder_.text(at, *written, colon);
      blank(colon, next);
      at = builder_.state();
      literal(next, member.value(), at);
    }
  } else {
    open(!value.get_array().empty());
    for (const json::value& part : value.get_array()) element(part);
  }
  const StateId close = builder_.state();
  first ? builder_.empty(at, close) : blank(at, close);
  byte(close, object ? '}' : ']', to);
}

RuleId JsonText::value() {
  bool fresh = false;
  const RuleId rule = make(value_, "value", fresh);
  if (!fresh) return rule;
  const StateId begin = builder_.start(rule), end = builder_.end(rule);
  for (const json::value& word : {json::value(nullptr), json::value(true), json::value(false)})
    literal(begin, word, end);
  number(begin, end);
  string(begin, 0, -1, end);
  builder_.call(begin, array(), end);
  builder_.call(begin, object(), end);
  return rule;
}

RuleId JsonText::array() {
  bool fresh = false;
  const RuleId rule = make(array_, "array", fresh);
  if (!fresh) return rule;
  const StateId open = builder_.state(), first = builder_.state(), more = builder_.state();
  byte(builder_.start(rule), '[', open);
  blank(open, first);
  byte(first, ']', builder_.end(rule));
  builder_.call(first, value(), more);
  const StateId comma = builder_.state(), next = builder_.state(), close = builder_.state();
  byte(more, ',', comma);
  blank(comma, next);
  builder_.call(next, value(), more);
  blank(more, close);
  byte(close, ']', builder_.end(rule));
  return rule;
}

RuleId JsonText::object() {
  bool fresh = false;
  const RuleId rule = make(object_, "object", fresh);
  if (!fresh) return rule;
  if (style_.syntax == ValueSyntax::kMarked) {
    builder_.text(builder_.start(rule), "{}", builder_.end(rule));
    return rule;
  }
  const RuleId member = builder_.rule("member");
  const StateId key = builder_.state(), colon = builder_.state(), content = builder_.state();
  free_key(builder_.start(member), nullptr, key);
  byte(key, ':', colon);
  blank(colon, content);
  builder_.call(content, value(), builder_.end(member));
  const StateId open = builder_.state(), first = builder_.state(), more = builder_.state();
  byte(builder_.start(rule), '{', open);
  blank(open, first);
  byte(first, '}', builder_.end(rule));
  builder_.call(first, member, more);
  const StateId comma = builder_.state(), next = builder_.state(), close = builder_.state();
  byte(more, ',', comma);
  blank(comma, next);
  builder_.call(next, member, more);
  blank(more, close);
  byte(close, '}', builder_.end(rule));
  return rule;
}

}  // namespace maestrale::grammar
