#include "text/template/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {

Error syntax_error(const std::string& where, int line, std::string what) {
  return Error{.what = std::move(what), .where = fmt::format("{}, line {}", where, line)};
}

Result<std::string> normalise_source(std::string_view source, const std::string& where) {
  if (const std::size_t bad = find_invalid_utf8(source); bad != source.npos) {
    return Error{.what = "the template is not valid UTF-8", .where = fmt::format("{}, byte {}", where, bad)};
  }
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

namespace {

bool is_name_start(char32_t c) { return c == '_' || (c < 0x80 ? is_ascii_letter(c) : is_alphabetic(c)); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& where) : source_(source), where_(where) {}

  Result<std::vector<Token>> run() {
    while (position_ < source_.size()) TRY(root());
    push(TokenType::kEnd, {});
    return std::move(tokens_);
  }

 private:
  Error fail(std::string what) const { return syntax_error(where_, line_, std::move(what)); }
  void push(TokenType type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }
  std::string_view rest() const { return source_.substr(position_); }
  bool at(std::string_view what) const { return rest().starts_with(what); }
  char sign_at(std::size_t i) const {
    return i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i] : ' ';
  }
  void advance_to(std::size_t to) {
    const auto part = source_.substr(position_, to - position_);
    line_ += static_cast<int>(std::count(part.begin(), part.end(), '\n'));
    position_ = to;
  }
  void skip_space() { advance_to(end_of_space(source_, position_)); }

  // Text up to the next tag, then the tag.
  Status root() {
    std::size_t tag = source_.find('{', position_);
    while (tag != source_.npos && tag + 1 < source_.size() && source_[tag + 1] != '{' &&
           source_[tag + 1] != '%' && source_[tag + 1] != '#') {
      tag = source_.find('{', tag + 1);
    }
    if (tag == source_.npos || tag + 1 >= source_.size()) {
      text(source_.substr(position_), ' ', false);
      position_ = source_.size();
      return {};
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    text(source_.substr(position_, tag - position_), sign, kind != '{');
    advance_to(tag);
    if (kind == '#') return comment();
    advance_to(tag + (sign == ' ' ? 2 : 3));
    if (kind == '{') return inside(TokenType::kPrintBegin, TokenType::kPrintEnd, "}}");
    if (const std::size_t after = raw_tag_end(); after != source_.npos) return raw(after);
    return inside(TokenType::kBlockBegin, TokenType::kBlockEnd, "%}");
  }

  // Emits text, less what the following tag's sign and lstrip_blocks take from its end.
  void text(std::string_view data, char sign, bool strip_indent) {
    if (sign == '-') {
      data = data.substr(0, end_without_space(data));
    } else if (sign == ' ' && strip_indent) {
      const std::size_t line = data.rfind('\n') + 1;
      const bool starts_line = line > 0 || line_starting_;
      if (starts_line && end_of_space(data, line) == data.size()) data = data.substr(0, line);
    }
    if (!data.empty()) push(TokenType::kText, std::string(data));
  }

  // Just behind a closing "-" the white space goes; behind a block's or comment's end one newline goes.
  void after_tag(char sign, bool trims) {
    if (sign == '-') {
      skip_space();
    } else if (sign != '+' && trims && at("\n")) {
      advance_to(position_ + 1);
    }
    line_starting_ = position_ > 0 && source_[position_ - 1] == '\n';
  }

  Status comment() {
    const std::size_t start = position_ + (sign_at(position_ + 2) == ' ' ? 2 : 3);
    const std::size_t end = source_.find("#}", start);
    if (end == source_.npos) return fail("Missing end of comment tag");
    const char sign = end > start ? sign_at(end - 1) : ' ';
    advance_to(end + 2);
    after_tag(sign, true);
    return {};
  }

  // If "raw %}" stands here: the position behind it, else npos.
  std::size_t raw_tag_end() const {
    std::size_t i = end_of_space(source_, position_);
    if (source_.substr(i, 3) != "raw") return source_.npos;
    i = end_of_space(source_, i + 3);
    if (source_.substr(i, 2) == "%}") return i + 2;
    if (source_.substr(i, 3) == "-%}") return end_of_space(source_, i + 3);
    return source_.npos;
  }

  Status raw(std::size_t from) {
    advance_to(from);
    line_starting_ = from > 0 && source_[from - 1] == '\n';
    for (std::size_t tag = source_.find("{%", from); tag != source_.npos; tag = source_.find("{%", tag + 2)) {
      const char sign = sign_at(tag + 2);
      std::size_t i = end_of_space(source_, tag + (sign == ' ' ? 2 : 3));
      if (source_.substr(i, 6) != "endraw") continue;
      i = end_of_space(source_, i + 6);
      const char end_sign = sign_at(i);
      if (end_sign != ' ') ++i;
      if (source_.substr(i, 2) != "%}") continue;
      text(source_.substr(from, tag - from), sign, true);
      advance_to(i + 2);
      after_tag(end_sign, true);
      return {};
    }
    return fail("Missing end of raw directive");
  }

  Status inside(TokenType begin, TokenType end, std::string_view closing) {
    push(begin, {});
    open_.clear();
    while (true) {
      skip_space();
      if (position_ >= source_.size()) {
        return fail(fmt::format("unexpected end of template, expected '{}'", closing));
      }
      if (open_.empty()) {
        const char sign = sign_at(position_);
        const std::size_t offset = sign == ' ' || (sign == '+' && closing == "}}") ? 0 : 1;
        if (source_.substr(position_ + offset, 2) == closing) {
          push(end, {});
          advance_to(position_ + offset + 2);
          after_tag(offset == 0 ? ' ' : sign, closing == "%}");
          return {};
        }
      }
      TRY(token());
    }
  }

  Status token() {
    const char c = source_[position_];
    if (c == '"' || c == '\'') return string(c);
    if (is_digit(c)) return number();
    const DecodedCodepoint first = decode_utf8(rest());
    if (is_name_start(first.codepoint)) {
      std::size_t end = position_;
      while (end < source_.size()) {
        const DecodedCodepoint next = decode_utf8(source_.substr(end));
        if (!is_name_start(next.codepoint) && !is_name_continue(next.codepoint)) break;
        end += static_cast<std::size_t>(next.length);
      }
      push(TokenType::kName, std::string(source_.substr(position_, end - position_)));
      position_ = end;
      return {};
    }
    return operation();
  }

  Status operation() {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view spelling : kOperators) {
      if (!at(spelling)) continue;
      const char c = spelling[0];
      if (c == '(' || c == '[' || c == '{') open_ += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (c == ')' || c == ']' || c == '}') {
        if (open_.empty()) return fail(fmt::format("unexpected '{}'", c));
        if (open_.back() != c) return fail(fmt::format("unexpected '{}', expected '{}'", c, open_.back()));
        open_.pop_back();
      }
      push(TokenType::kOperator, std::string(spelling));
      position_ += spelling.size();
      return {};
    }
    const DecodedCodepoint c = decode_utf8(rest());
    return fail(fmt::format("unexpected char '{}'", rest().substr(0, static_cast<std::size_t>(c.length))));
  }

  std::size_t digits_end(std::size_t i) const {
    while (i < source_.size() && (is_digit(source_[i]) || (source_[i] == '_' && i + 1 < source_.size() &&
                                                           is_digit(source_[i + 1])))) {
      ++i;
    }
    return i;
  }

  Status number() {
    std::size_t end = position_;
    bool real = false;
    const auto prefix = rest().substr(0, 2);
    if (prefix == "0x" || prefix == "0X" || prefix == "0b" || prefix == "0B" || prefix == "0o" ||
        prefix == "0O") {
      end += 2;
      while (end < source_.size() && (is_ascii_letter(static_cast<unsigned char>(source_[end])) ||
                                      is_digit(source_[end]) || source_[end] == '_')) {
        ++end;
      }
    } else {
      end = digits_end(end);
      const bool follows_dot =
          !tokens_.empty() && tokens_.back().text == "." && position_ > 0 && source_[position_ - 1] == '.';
      if (!follows_dot && end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
        real = true;
        end = digits_end(end + 1);
      }
      std::size_t exponent = end;
      if (!follows_dot && exponent < source_.size() &&
          (source_[exponent] == 'e' || source_[exponent] == 'E')) {
        ++exponent;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
        if (exponent < source_.size() && is_digit(source_[exponent])) {
          real = true;
          end = digits_end(exponent);
        }
      }
    }
    std::string spelling(source_.substr(position_, end - position_));
    std::erase(spelling, '_');
    push(real ? TokenType::kFloat : TokenType::kInteger, std::move(spelling));
    position_ = end;
    return {};
  }

  Status string(char quote) {
    const int line = line_;
    std::string out;
    std::size_t i = position_ + 1;
    while (true) {
      const std::size_t stop = source_.find_first_of(quote == '"' ? "\"\\" : "'\\", i);
      if (stop == source_.npos) return fail("unexpected end of template inside a string");
      out += source_.substr(i, stop - i);
      i = stop;
      if (source_[i] == quote) break;
      auto after = unescape(source_, i, out);
      if (!after.ok()) return fail(std::move(after).error().what);
      i = *after;
    }
    advance_to(i + 1);
    tokens_.push_back({TokenType::kString, line, std::move(out)});
    return {};
  }

  std::string_view source_;
  const std::string& where_;
  std::size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string open_;  // closing brackets still expected
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source, const std::string& where) {
  return Lexer(source, where).run();
}

}  // namespace maestrale::text::jinja
