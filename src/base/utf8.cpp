#include "base/utf8.h"

#include <algorithm>

namespace maestrale {
namespace {

struct Lead {
  int length = 0;  // 0: not a lead byte
  unsigned char second_min = 0x80;
  unsigned char second_max = 0xbf;
};

Lead classify(unsigned char byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xc2) return {0};
  if (byte < 0xe0) return {2};
  if (byte < 0xf0)
    return {3, static_cast<unsigned char>(byte == 0xe0 ? 0xa0 : 0x80),
            static_cast<unsigned char>(byte == 0xed ? 0x9f : 0xbf)};
  if (byte < 0xf5)
    return {4, static_cast<unsigned char>(byte == 0xf0 ? 0x90 : 0x80),
            static_cast<unsigned char>(byte == 0xf4 ? 0x8f : 0xbf)};
  return {0};
}

// Number of bytes at the start of `text` that form a prefix of a valid character.
int valid_prefix(std::string_view text, const Lead& lead) {
  int n = 1;
  while (n < lead.length && n < static_cast<int>(text.size())) {
    const auto byte = static_cast<unsigned char>(text[static_cast<std::size_t>(n)]);
    const unsigned char low = n == 1 ? lead.second_min : 0x80;
    const unsigned char high = n == 1 ? lead.second_max : 0xbf;
    if (byte < low || byte > high) break;
    ++n;
  }
  return n;
}

}  // namespace

DecodedCodepoint decode_utf8(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const Lead lead = classify(first);
  if (lead.length == 1) return {first, 1, true};
  if (lead.length == 0) return {0xfffd, 1, false};
  const int n = valid_prefix(text, lead);
  if (n < lead.length) return {0xfffd, n, false};
  char32_t codepoint = first & (0xffu >> (lead.length + 1));
  for (int i = 1; i < lead.length; ++i) {
    codepoint = (codepoint << 6) | (static_cast<unsigned char>(text[static_cast<std::size_t>(i)]) & 0x3fu);
  }
  return {codepoint, lead.length, true};
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | (c >> 6));
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3f));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const DecodedCodepoint decoded = decode_utf8(text.substr(i));
    if (!decoded.valid) return i;
    i += static_cast<std::size_t>(decoded.length);
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const DecodedCodepoint decoded = decode_utf8(text);
    const auto length = static_cast<std::size_t>(decoded.length);
    if (decoded.valid) {
      out.append(text.substr(0, length));
    } else {
      append_utf8(out, 0xfffd);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_.append(bytes);
  std::string_view rest = pending_;
  std::string out;
  while (!rest.empty()) {
    const Lead lead = classify(static_cast<unsigned char>(rest[0]));
    if (lead.length > static_cast<int>(rest.size()) &&
        valid_prefix(rest, lead) == static_cast<int>(rest.size())) {
      break;  // the rest of this character may still come
    }
    const DecodedCodepoint decoded = decode_utf8(rest);
    append_utf8(out, decoded.codepoint);
    rest.remove_prefix(static_cast<std::size_t>(decoded.length));
  }
  pending_ = std::string(rest);
  return out;
}

std::string Utf8Stream::flush() {
  std::string out = replace_invalid_utf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace maestrale
