// UTF-8: strict decoding (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF) and incremental
// splitting of a byte stream into whole characters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace maestrale {

struct DecodedCodepoint {
  char32_t codepoint = 0;  // U+FFFD where the bytes are not valid
  int length = 1;          // bytes consumed, at least 1
  bool valid = false;
};

// Decodes the character at the start of `text` (not empty).
DecodedCodepoint decode_utf8(std::string_view text);
void append_utf8(std::string& out, char32_t codepoint);
// First byte that is not part of valid UTF-8, or npos.
std::size_t find_invalid_utf8(std::string_view text);
// Every maximal invalid part replaced by U+FFFD (Unicode's recommended practice, as Python's
// errors="replace").
std::string replace_invalid_utf8(std::string_view text);

// Collects bytes as they come and hands out only whole characters. Bytes that can never become a character
// come out as U+FFFD; flush() ends the stream.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string flush();

 private:
  std::string pending_;
};

}  // namespace maestrale
