#include "engine/sampler/stop.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace maestrale::engine {

bool StopMatcher::Pattern::advance(char byte) {
  while (matched > 0 && text[matched] != byte) matched = fallback[matched];
  if (text[matched] == byte) ++matched;
  return matched == text.size();
}

Result<StopMatcher> StopMatcher::create(const std::vector<std::string>& strings,
                                        std::vector<text::TokenId> tokens) {
  if (strings.size() > kMaxStrings) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "too many stop strings",
                 .where = "stop",
                 .expected = fmt::format("at most {}", kMaxStrings),
                 .found = fmt::format("{}", strings.size())};
  }
  StopMatcher matcher;
  for (const std::string& string : strings) {
    const bool valid = find_invalid_utf8(string) == std::string_view::npos;
    if (string.empty() || string.size() > kMaxLength || !valid) {
      return Error{.kind = ErrorKind::kUsage,
                   .what = valid ? "unusable stop string" : "stop string is not valid UTF-8",
                   .where = "stop",
                   .expected = fmt::format("1 to {} bytes of UTF-8", kMaxLength),
                   .found = fmt::format("{} bytes", string.size())};
    }
    Pattern pattern{.text = string, .fallback = std::vector<std::size_t>(string.size(), 0)};
    for (std::size_t i = 1, border = 0; i + 1 < string.size(); ++i) {
      while (border > 0 && string[i] != string[border]) border = pattern.fallback[border];
      if (string[i] == string[border]) ++border;
      pattern.fallback[i + 1] = border;
    }
    matcher.patterns_.push_back(std::move(pattern));
  }
  std::sort(tokens.begin(), tokens.end());
  matcher.tokens_ = std::move(tokens);
  return matcher;
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped()) return {};
  for (const char byte : text) {
    held_ += byte;
    const Pattern* complete = nullptr;
    for (Pattern& pattern : patterns_) {
      const bool longest = complete == nullptr || pattern.text.size() > complete->text.size();
      if (pattern.advance(byte) && longest) complete = &pattern;
    }
    if (complete == nullptr) continue;
    stopped_by_ = complete->text;
    held_.resize(held_.size() - complete->text.size());
    return std::exchange(held_, {});
  }
  std::size_t keep = 0;
  for (const Pattern& pattern : patterns_) keep = std::max(keep, pattern.matched);
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopMatcher::flush() { return std::exchange(held_, {}); }

bool StopMatcher::is_stop_token(text::TokenId token) const {
  return std::binary_search(tokens_.begin(), tokens_.end(), token);
}

}  // namespace maestrale::engine
