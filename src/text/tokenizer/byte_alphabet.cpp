#include "text/tokenizer/byte_alphabet.h"

#include <array>

#include "base/utf8.h"

namespace maestrale::text {
namespace {

constexpr std::size_t kCodes = 0x144;  // 256 + 68

struct Alphabet {
  std::array<char32_t, 256> code_of_byte{};
  std::array<int, kCodes> byte_of_code{};
};

Alphabet build() {
  Alphabet alphabet;
  alphabet.byte_of_code.fill(-1);
  char32_t next = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    alphabet.code_of_byte[byte] = printable ? static_cast<char32_t>(byte) : next++;
    alphabet.byte_of_code[alphabet.code_of_byte[byte]] = static_cast<int>(byte);
  }
  return alphabet;
}

const Alphabet& alphabet() {
  static const Alphabet table = build();
  return table;
}

}  // namespace

std::optional<std::string> decode_byte_alphabet(std::string_view spelling) {
  std::string out;
  out.reserve(spelling.size());
  while (!spelling.empty()) {
    const DecodedCodepoint c = decode_utf8(spelling);
    if (!c.valid || c.codepoint >= kCodes || alphabet().byte_of_code[c.codepoint] < 0) return std::nullopt;
    out += static_cast<char>(alphabet().byte_of_code[c.codepoint]);
    spelling.remove_prefix(static_cast<std::size_t>(c.length));
  }
  return out;
}

std::string encode_byte_alphabet(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) append_utf8(out, alphabet().code_of_byte[static_cast<unsigned char>(byte)]);
  return out;
}

}  // namespace maestrale::text
