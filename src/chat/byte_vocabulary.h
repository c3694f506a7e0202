// For tests: a vocabulary of single bytes with control tokens of its own.
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer/load.h"

namespace maestrale::chat {

inline text::TokenizerPtr bytes_and(const std::vector<std::string>& controls) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string ranks;
  for (unsigned byte = 0; byte < 256; ++byte) {
    ranks += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='};
    ranks += " " + std::to_string(byte) + "\n";
  }
  text::TiktokenSpec spec{.pattern = ".+", .specials = {}};
  for (const std::string& control : controls)
    spec.specials.emplace_back(control, static_cast<text::TokenId>(256 + spec.specials.size()));
  return text::tokenizer_from_tiktoken(ranks, spec, "test").value();
}

}  // namespace maestrale::chat
