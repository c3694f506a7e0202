// Template source to tokens: text, the delimiters with their whitespace control, and what stands in between.
// trim_blocks and lstrip_blocks are on, as chat templates expect.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maestrale::text::jinja {

enum class TokenType : unsigned char {
  kText,
  kPrintBegin,
  kPrintEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kInteger,
  kFloat,
  kString,    // text is the unescaped string
  kOperator,  // text is the spelling
  kEnd,
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 1;
  std::string text = {};
};

// `source` is UTF-8 with "\n" line ends (see normalise_source). Linear in its length.
Result<std::vector<Token>> tokenize(std::string_view source, const std::string& where);

// Line ends to "\n", the last one dropped, bytes checked to be UTF-8.
Result<std::string> normalise_source(std::string_view source, const std::string& where);

Error syntax_error(const std::string& where, int line, std::string what);

}  // namespace maestrale::text::jinja
