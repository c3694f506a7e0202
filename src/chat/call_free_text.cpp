#include "chat/call_free_text.h"

#include <map>
#include <vector>

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

// What may come after each beginning of some words: the bytes that go on with one.
std::map<std::string, std::string> continuations(const std::vector<std::string_view>& words) {
  std::map<std::string, std::string> out;
  for (const std::string_view word : words) {
    for (std::size_t length = 0; length < word.size(); ++length) {
      std::string& next = out[std::string(word.substr(0, length))];
      if (next.find(word[length]) == std::string::npos) next += word[length];
    }
  }
  return out;
}

// A mark has its only '<' at its beginning; so a text without marks is a row of pieces, each of which begins
// with '<', goes along a mark as far as it can, and then leaves it.
std::string unmarked_rules(const std::vector<std::string_view>& marks) {
  std::string pieces;
  for (const auto& [begun, next] : continuations(marks)) {
    if (begun.empty()) continue;
    pieces += (pieces.empty() ? "" : " | ") + literal(begun) + " ([^<" + in_class(next) + "] [^<]*)?";
  }
  return "piece ::= " + pieces + "\ntext ::= [^<]* piece*\n";
}

// Nothing, or a text whose first byte is not in `bytes` (of a class).
std::string not_beginning_with(std::string_view bytes) {
  return "([^<" + std::string(bytes) + "] text | piece*)";
}

// After "{": no key that a call begins with.
std::string no_call_key() {
  std::string out;
  for (const auto& [begun, next] :
       continuations({"\"name\"", "\"type\"", "\"function\"", "\"parameters\"", "\"id\""})) {
    const std::string others = in_class(next) + std::string(begun.empty() ? kBlanks : "");
    out += (out.empty() ? "" : " | ") + literal(begun) + " " + not_beginning_with(others);
  }
  return out;
}

// After "[": no name with a parenthesis.
std::string no_call_name() {
  const std::string name(kNameBytes), blanks(kBlanks);
  return "[0-9] text | [A-Za-z_.\\-] [" + name + "]* " + not_beginning_with(name + "(") + " | " +
         not_beginning_with(name + blanks);
}

}  // namespace

std::string unmarked_text(const std::vector<std::string_view>& marks) {
  return unmarked_rules(marks) + "root ::= text\n";
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
  return unmarked_rules(opening_marks(dialect)) + "key ::= " + no_call_key() +
         "\nname ::= " + no_call_name() + "\nroot ::= " + blanks + " (\"{\" " + blanks + " key | \"[\" " +
         blanks + " name | " + not_beginning_with("{\\[" + std::string(kBlanks)) + ")\n";
}

}  // namespace maestrale::chat
