// Calls written as Python: Llama 3.2 and 4, Llama's built-in tools, Gemma's tool_code blocks.
#include <algorithm>

#include "base/json.h"
#include "base/utf8.h"
#include "chat/call_reader.h"
#include "chat/json_scan.h"
#include "text/template/python_json.h"

namespace maestrale::chat {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;
constexpr int kDepthMax = 64;

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Reads calls with literal arguments and writes the arguments as JSON; every function says whether it
// succeeded.
class PythonReader {
 public:
  explicit PythonReader(std::string_view text) : rest_(text) {}

  std::vector<Call> run() {
    std::vector<Call> calls;
    while (true) {
      skip_blanks();
      Call call;
      if (!read_call(call)) return {};
      calls.push_back(std::move(call));
      skip_blanks();
      take(",") || take(";");
      skip_blanks();
      if (rest_.empty()) return calls;
    }
  }

 private:
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::string_view name(bool dotted) {
    std::size_t end = 0;
    while (end < rest_.size() &&
           (is_name_byte(rest_[end]) || (dotted && (rest_[end] == '.' || rest_[end] == '-'))))
      ++end;
    const std::string_view found = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return found;
  }

  bool read_call(Call& call) {
    call.name = name(true);
    skip_blanks();
    if (call.name.empty() || !take("(")) return false;
    call.arguments = "{";
    skip_blanks();
    while (!take(")")) {
      if (call.arguments.size() > 1) {
        if (!take(",")) return false;
        skip_blanks();
        if (take(")")) break;
        call.arguments += ", ";
      }
      const std::string_view key = name(false);
      skip_blanks();
      if (key.empty() || !take("=")) return false;
      call.arguments += text::python_json_string(key) + ": ";
      if (!value(call.arguments, 0)) return false;
      skip_blanks();
    }
    call.arguments += "}";
    return true;
  }

  bool value(std::string& out, int depth) {
    skip_blanks();
    if (rest_.empty() || depth > kDepthMax) return false;
    const char c = rest_.front();
    if (c == '"' || c == '\'') return string(out);
    if (c == '[') return list(out, "[", "]", depth);
    if (c == '(') return list(out, "(", ")", depth);
    if (c == '{') return dict(out, depth);
    std::size_t end = 0;
    while (end < rest_.size() &&
           (is_name_byte(rest_[end]) || rest_[end] == '.' || rest_[end] == '-' || rest_[end] == '+'))
      ++end;
    const std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(end);
    if (word == "True" || word == "true")
      out += "true";
    else if (word == "False" || word == "false")
      out += "false";
    else if (word == "None" || word == "null")
      out += "null";
    else
      return number(word, out);
    return true;
  }

  static bool number(std::string_view word, std::string& out) {
    const auto parsed = parse_json(word, "number");
    if (!parsed.ok() || !parsed->is_number()) return false;
    out += word;
    return true;
  }

  bool list(std::string& out, std::string_view open, std::string_view close, int depth) {
    take(open);
    out += '[';
    skip_blanks();
    for (bool first = true; !take(close); first = false) {
      if (!first && !take(",")) return false;
      skip_blanks();
      if (!first && take(close)) break;
      if (!first) out += ", ";
      if (!value(out, depth + 1)) return false;
      skip_blanks();
    }
    out += ']';
    return true;
  }

  bool dict(std::string& out, int depth) {
    take("{");
    out += '{';
    skip_blanks();
    for (bool first = true; !take("}"); first = false) {
      if (!first && !take(",")) return false;
      skip_blanks();
      if (!first && take("}")) break;
      if (!first) out += ", ";
      if (rest_.empty() || (rest_.front() != '"' && rest_.front() != '\'') || !string(out)) return false;
      skip_blanks();
      if (!take(":")) return false;
      out += ": ";
      if (!value(out, depth + 1)) return false;
      skip_blanks();
    }
    out += '}';
    return true;
  }

  bool string(std::string& out) {
    const char quote = rest_.front();
    const std::string triple(3, quote);
    const std::string close = rest_.starts_with(triple) ? triple : std::string(1, quote);
    rest_.remove_prefix(close.size());
    std::string text;
    while (!take(close)) {
      if (rest_.empty()) return false;
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c != '\\') {
        text += c;
      } else if (!escape(text)) {
        return false;
      }
    }
    out += text::python_json_string(text);
    return true;
  }

  bool escape(std::string& text) {
    constexpr std::string_view kEscaped = "ntrbf0\\'\"", kMeant("\n\t\r\b\f\0\\'\"", 9);
    if (rest_.empty()) return false;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    const std::size_t place = kEscaped.find(c);
    if (place != kNowhere) {
      text += kMeant[place];
      return true;
    }
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {  // no escape: the backslash stays, as in Python
      text += {'\\', c};
      return true;
    }
    char32_t code = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      constexpr std::string_view kHex = "0123456789abcdef";
      const std::size_t digit = i < rest_.size() ? kHex.find(static_cast<char>(rest_[i] | 0x20)) : kNowhere;
      if (digit == kNowhere) return false;
      code = code * 16 + static_cast<char32_t>(digit);
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    rest_.remove_prefix(digits);
    append_utf8(text, code);
    return true;
  }

  std::string_view rest_;
};

// [f(a=1), g()] as an answer of its own.
class PythonListReader final : public CallReader {
 public:
  Verdict read(std::string_view bytes, bool at_end) override {
    if (!begins_like_a_call(bytes)) return Verdict::text(1);
    const std::size_t end = list_end(bytes);
    if (end == kNowhere) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    std::vector<Call> calls = calls_from_python(bytes.substr(1, end - 2));
    return calls.empty() ? Verdict::text(end) : Verdict::done(end, std::move(calls));
  }

 private:
  static bool begins_like_a_call(std::string_view bytes) {
    std::size_t at = std::min(bytes.find_first_not_of(" \t\r\n", 1), bytes.size());
    if (at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9') return false;
    const std::size_t begin = at;
    while (at < bytes.size() && (is_name_byte(bytes[at]) || bytes[at] == '.' || bytes[at] == '-')) ++at;
    return at == bytes.size() || (bytes[at] == '(' && at > begin);
  }

  std::size_t list_end(std::string_view bytes) {
    for (; at_ < bytes.size(); ++at_) {
      const char c = bytes[at_];
      if (quote_ != 0) {
        if (!escaped_ && c == quote_) quote_ = 0;
        escaped_ = !escaped_ && c == '\\';
      } else if (c == '"' || c == '\'') {
        quote_ = c;
      } else if (c == '[' || c == '(' || c == '{') {
        ++depth_;
      } else if ((c == ']' || c == ')' || c == '}') && --depth_ == 0) {
        return at_ + 1;
      }
    }
    return kNowhere;
  }

  std::size_t at_ = 0;
  int depth_ = 0;
  char quote_ = 0;
  bool escaped_ = false;
};

class ToolCodeReader final : public CallReader {
 public:
  Verdict read(std::string_view bytes, bool at_end) override {
    const std::size_t close = find_close(bytes);
    if (close == kNowhere && !at_end) return Verdict::more();
    const std::size_t end = close == kNowhere ? bytes.size() : close + 3;
    std::string_view code = trim(bytes.substr(kMark.size(), std::min(close, bytes.size()) - kMark.size()));
    if (code.starts_with("print(") && code.ends_with(")")) code = code.substr(6, code.size() - 7);
    std::vector<Call> calls = calls_from_python(code);
    return calls.empty() ? Verdict::text(end) : Verdict::done(end, std::move(calls));
  }

 private:
  static constexpr std::string_view kMark = "```tool_code", kClose = "```";

  // The end of the block, but not in a string; strings end with their line at the latest.
  std::size_t find_close(std::string_view bytes) {
    for (; at_ < bytes.size(); ++at_) {
      const char c = bytes[at_];
      if (quote_ != 0) {
        if (c == '\n' || (!escaped_ && c == quote_)) quote_ = 0;
        escaped_ = !escaped_ && c == '\\';
      } else if (bytes.substr(at_).starts_with(kClose)) {
        return at_;
      } else if (kClose.starts_with(bytes.substr(at_))) {
        return kNowhere;
      } else if (c == '"' || c == '\'') {
        quote_ = c;
        escaped_ = false;
      }
    }
    return kNowhere;
  }

  std::size_t at_ = kMark.size();
  char quote_ = 0;
  bool escaped_ = false;
};

}  // namespace

std::vector<Call> calls_from_python(std::string_view text) { return PythonReader(text).run(); }

std::unique_ptr<CallReader> read_python_calls() { return std::make_unique<PythonListReader>(); }
std::unique_ptr<CallReader> read_tool_code() { return std::make_unique<ToolCodeReader>(); }

}  // namespace maestrale::chat
