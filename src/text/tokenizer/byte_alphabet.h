// GPT-2's printable alphabet for bytes: 0x21-7E, A1-AC and AE-FF stand for themselves as code points, the
// other 68 bytes for U+0100 and following in byte order.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace maestrale::text {

// The bytes behind a spelling in that alphabet; nothing if it holds another character.
std::optional<std::string> decode_byte_alphabet(std::string_view spelling);
std::string encode_byte_alphabet(std::string_view bytes);

}  // namespace maestrale::text
