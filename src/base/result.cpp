#include "base/result.h"

#include <cstdio>

namespace maestrale {
namespace {

constexpr std::size_t kMaxField = 400;

// Untrusted bytes (names out of files) must not move the cursor or flood a terminal.
std::string printable(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size() && i < kMaxField; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\x%02x", byte);
      out += escaped;
    } else {
      out += text[i];
    }
  }
  if (text.size() > kMaxField) out += "…";
  return out;
}

}  // namespace

std::string Error::render() const {
  std::string out;
  if (!where.empty()) out += printable(where) + ": ";
  out += printable(what);
  if (!expected.empty() || !found.empty()) {
    out += " (";
    if (!expected.empty()) out += "expected " + printable(expected);
    if (!expected.empty() && !found.empty()) out += ", ";
    if (!found.empty()) out += "found " + printable(found);
    out += ")";
  }
  if (!hint.empty()) out += "; " + printable(hint);
  return out;
}

}  // namespace maestrale
