#include "chat/call_free_text.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"

namespace maestrale::chat {
namespace {

// Inside a class of characters.
constexpr std::string_view kBlanks = " \\t\\r\\n", kNameBytes = "A-Za-z0-9_.\\-";

std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}
std::string literal(std::string_view text) { return '"' + escaped(text, "\"\\") + '"'; }
std::string in_class(std::string_view bytes) { return escaped(bytes, "]\\^-"); }

// What may come after each beginning of some words: the characters that go on with one.
std::map<std::string, std::string> continuations(const std::vector<std::string_view>& words) {
  std::map<std::string, std::string> out;
  for (const std::string_view word : words) {
    for (std::size_t length = 0; length < word.size();) {
      const auto bytes = static_cast<std::size_t>(decode_utf8(word.substr(length)).length);
      const std::string_view character = word.substr(length, bytes);
      std::string& next = out[std::string(word.substr(0, length))];
      if (next.find(character) == std::string::npos) next += character;
      length += bytes;
    }
  }
  return out;
}

// Without those that another one begins: where it stands, that one stands already.
std::vector<std::string_view> shortest(const std::vector<std::string_view>& marks) {
  std::vector<std::string_view> out;
  for (const std::string_view mark : marks) {
    const bool covered = std::any_of(marks.begin(), marks.end(), [mark](std::string_view other) {
      return mark.size() > other.size() && mark.starts_with(other);
    });
    if (!covered) out.push_back(mark);
  }
  return out;
}

// A character that begins a mark stands nowhere else in one; so a text without marks is a row of pieces, each
// of which begins with such a character, goes along a mark as far as it can, and then leaves it.
struct Unmarked {
  explicit Unmarked(const std::vector<std::string_view>& all) {
    const std::vector<std::string_view> marks = shortest(all);
    const auto next_of = continuations(marks);
    const std::string first = next_of.at("");
    for (const std::string_view mark : marks)
      CHECK(mark.find_first_of(first, 1) == mark.npos, "marks have their first characters nowhere else");
    starts = in_class(first);
    std::string pieces;
    for (const auto& [begun, next] : next_of) {
      if (begun.empty()) continue;
      pieces += (pieces.empty() ? "" : " | ") + literal(begun) + " ([^" + starts + in_class(next) + "] [^" +
                starts + "]*)?";
    }
    rules = "piece ::= " + pieces + "\ntext ::= [^" + starts + "]* piece*\n";
  }

  // Nothing, or a text whose first character is not among these (of a class).
  std::string not_beginning_with(std::string_view characters) const {
    return "([^" + starts + std::string(characters) + "] text | piece*)";
  }

  std::string starts;  // the marks' first characters, of a class
  std::string rules;   // `text`, `piece`
};

// After "{": no key that a call begins with.
std::string no_call_key(const Unmarked& text) {
  std::string out;
  for (const auto& [begun, next] :
       continuations({"\"name\"", "\"type\"", "\"function\"", "\"parameters\"", "\"id\""})) {
    const std::string others = in_class(next) + std::string(begun.empty() ? kBlanks : "");
    out += (out.empty() ? "" : " | ") + literal(begun) + " " + text.not_beginning_with(others);
  }
  return out;
}

// After "[": no name with a parenthesis.
std::string no_call_name(const Unmarked& text) {
  const std::string name(kNameBytes), blanks(kBlanks);
  return "[0-9] text | [A-Za-z_.\\-] [" + name + "]* " + text.not_beginning_with(name + "(") + " | " +
         text.not_beginning_with(name + blanks);
}

}  // namespace

std::string unmarked_text(const std::vector<std::string_view>& marks) {
  return Unmarked(marks).rules + "root ::= text\n";
}

std::vector<std::string_view> opening_marks(const Dialect& dialect) {
  std::vector<std::string_view> marks;
  for (const ReasoningMarks& reasoning : dialect.reasoning) marks.push_back(reasoning.open);
  for (const CallTrigger& call : dialect.calls) {
    if (call.anywhere) marks.push_back(call.mark);
  }
  return marks;
}

std::string call_free_answer(const Dialect& dialect) {
  const std::string blanks = "[" + std::string(kBlanks) + "]*";
  const Unmarked text(opening_marks(dialect));
  return text.rules + "key ::= " + no_call_key(text) + "\nname ::= " + no_call_name(text) +
         "\nroot ::= " + blanks + " (\"{\" " + blanks + " key | \"[\" " + blanks + " name | " +
         text.not_beginning_with("{\\[" + std::string(kBlanks)) + ")\n";
}

}  // namespace maestrale::chat
