#include "text/template/python_json.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "text/template/value.h"

namespace maestrale::text {
namespace {

constexpr int kDepthMax = 256;
constexpr std::string_view kEscaped = "\"\\/bfnrt";     // what may follow a backslash
constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";  // and what it means

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value < 0 ? "-Infinity" : "Infinity";
  } else {
    jinja::append_float(out, value);
  }
}

void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const std::size_t escape = c == '/' ? kMeant.npos : kMeant.find(c);
    if (escape != kMeant.npos) {
      out += '\\';
      out += kEscaped[escape];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_value(std::string& out, const json::value& value) {
  if (const json::object* object = value.if_object()) {
    out += '{';
    for (const auto& [key, item] : *object) {
      if (out.back() != '{') out += ", ";
      append_string(out, key);
      out += ": ";
      append_value(out, item);
    }
    out += '}';
  } else if (const json::array* array = value.if_array()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out += ", ";
      append_value(out, (*array)[i]);
    }
    out += ']';
  } else if (const json::string* text = value.if_string()) {
    append_string(out, *text);
  } else if (value.is_int64()) {
    out += std::to_string(value.get_int64());
  } else if (value.is_uint64()) {
    out += std::to_string(value.get_uint64());
  } else if (value.is_double()) {
    append_number(out, value.get_double());
  } else {
    out += value.is_null() ? "null" : value.get_bool() ? "true" : "false";
  }
}

// Reads one JSON text and writes it again as it goes; every function says whether it succeeded.
class Rewriter {
 public:
  explicit Rewriter(std::string_view text) : rest_(text) {}

  std::optional<std::string> run() {
    std::string out;
    if (!value(out, 0)) return std::nullopt;
    skip_blanks();
    if (!rest_.empty()) return std::nullopt;
    return out;
  }

 private:
  void skip_blanks() {
    const std::size_t at = rest_.find_first_not_of(" \t\n\r");
    rest_.remove_prefix(at == rest_.npos ? rest_.size() : at);
  }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  bool value(std::string& out, int depth) {
    skip_blanks();
    if (rest_.empty() || depth > kDepthMax) return false;
    switch (rest_.front()) {
      case '{':
        return object(out, depth);
      case '[':
        return array(out, depth);
      case '"': {
        std::string text;
        if (!string(text)) return false;
        append_string(out, text);
        return true;
      }
      default:
        break;
    }
    for (const std::string_view word : {"null", "true", "false", "NaN", "Infinity", "-Infinity"}) {
      if (!take(word)) continue;
      out += word;
      return true;
    }
    return number(out);
  }

  bool array(std::string& out, int depth) {
    take("[");
    out += '[';
    skip_blanks();
    for (bool first = true; !take("]"); first = false) {
      if (!first) {
        if (!take(",")) return false;
        out += ", ";
      }
      if (!value(out, depth + 1)) return false;
      skip_blanks();
    }
    out += ']';
    return true;
  }

  bool object(std::string& out, int depth) {
    std::vector<std::pair<std::string, std::string>> members;
    std::unordered_map<std::string, std::size_t> places;
    take("{");
    skip_blanks();
    while (!take("}")) {
      if (!members.empty() && !take(",")) return false;
      skip_blanks();
      std::string key, text;
      if (!string(key)) return false;
      skip_blanks();
      if (!take(":") || !value(text, depth + 1)) return false;
      skip_blanks();
      const auto [place, fresh] = places.emplace(key, members.size());
      if (fresh) {
        members.emplace_back(std::move(key), std::move(text));
      } else {
        members[place->second].second = std::move(text);
      }
    }
    out += '{';
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out += ", ";
      append_string(out, members[i].first);
      out += ": " + members[i].second;
    }
    out += '}';
    return true;
  }

  bool string(std::string& out) {
    if (!take("\"")) return false;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return false;
      }
    }
    return false;
  }

  bool escape(std::string& out) {
    if (rest_.empty()) return false;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    const std::size_t place = kEscaped.find(c);
    if (place != kEscaped.npos) {
      out += kMeant[place];
      return true;
    }
    if (c != 'u') return false;
    char32_t code = 0;
    if (!hex4(code)) return false;
    if (code >= 0xd800 && code < 0xdc00) {  // the first half of a pair
      char32_t low = 0;
      if (!take("\\u") || !hex4(low) || low < 0xdc00 || low > 0xdfff) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
      return false;
    }
    append_utf8(out, code);
    return true;
  }

  bool hex4(char32_t& code) {
    unsigned number = 0;
    if (rest_.size() < 4) return false;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + 4, number, 16);
    if (error != std::errc() || end != rest_.data() + 4) return false;
    rest_.remove_prefix(4);
    code = number;
    return true;
  }

  std::size_t digits(std::size_t at) const {
    while (at < rest_.size() && rest_[at] >= '0' && rest_[at] <= '9') ++at;
    return at;
  }

  bool number(std::string& out) {
    const std::size_t start = rest_.front() == '-' ? 1 : 0;
    std::size_t end = digits(start);
    if (end == start || (rest_[start] == '0' && end > start + 1)) return false;
    bool whole = true;
    if (end + 1 < rest_.size() && rest_[end] == '.' && digits(end + 1) > end + 1) {
      whole = false;
      end = digits(end + 1);
    }
    if (end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
      const bool sign = end + 1 < rest_.size() && (rest_[end + 1] == '+' || rest_[end + 1] == '-');
      const std::size_t first = end + (sign ? 2 : 1);
      if (digits(first) > first) {
        whole = false;
        end = digits(first);
      }
    }
    const std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end);
    if (!whole) {
      append_number(out, std::strtod(text.c_str(), nullptr));
    } else {
      out += text == "-0" ? "0" : text;
    }
    return true;
  }

  std::string_view rest_;
};

}  // namespace

std::string python_json(const json::value& value) {
  std::string out;
  append_value(out, value);
  return out;
}

std::string python_json_string(std::string_view text) {
  std::string out;
  append_string(out, text);
  return out;
}

std::optional<std::string> python_json_again(std::string_view text) { return Rewriter(text).run(); }

}  // namespace maestrale::text
