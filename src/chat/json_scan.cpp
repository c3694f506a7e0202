#include "chat/json_scan.h"

#include "base/json.h"

namespace maestrale::chat {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::size_t kDepthMax = 256;

// The stretches between commas at the outermost level of an object or array that is known to be well formed.
std::vector<std::string_view> split(std::string_view container) {
  const std::string_view inside = trim(container.substr(1, container.size() - 2));
  std::vector<std::string_view> out;
  if (inside.empty()) return out;
  int depth = 0;
  bool in_string = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < inside.size(); ++i) {
    const char c = inside[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ',' && depth == 0) {
      out.push_back(trim(inside.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  out.push_back(trim(inside.substr(begin)));
  return out;
}

std::size_t string_end(std::string_view text) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return text.size();
}

bool well_formed(std::string_view text, char first) {
  return !text.empty() && text.front() == first && parse_json(text, "call", kDepthMax).ok();
}

}  // namespace

std::size_t JsonScanner::end(std::string_view text) {
  for (; at_ < text.size(); ++at_) {
    const char c = text[at_];
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
      return at_ + 1;
    }
  }
  return std::string_view::npos;
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_json_object(std::string_view text) { return well_formed(text, '{'); }

std::optional<Members> json_members(std::string_view object) {
  if (!well_formed(object, '{')) return std::nullopt;
  Members members;
  for (const std::string_view member : split(object)) {
    const std::size_t key = string_end(member);
    members.emplace_back(json_string(member.substr(0, key)).value_or(""),
                         trim(member.substr(member.find(':', key) + 1)));
  }
  return members;
}

std::optional<std::vector<std::string_view>> json_items(std::string_view array) {
  if (!well_formed(array, '[')) return std::nullopt;
  return split(array);
}

std::optional<std::string> json_string(std::string_view text) {
  if (!well_formed(text, '"')) return std::nullopt;
  return std::string(parse_json(text, "call").value().get_string());
}

}  // namespace maestrale::chat
