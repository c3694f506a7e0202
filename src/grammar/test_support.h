// A small vocabulary for tests: all bytes, some longer tokens, one end token, one other control token.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "grammar/grammar.h"
#include "text/tokenizer/load.h"

namespace maestrale::grammar {

inline std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t word = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      word = word << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += i + j > bytes.size() ? '=' : kDigits[word >> (18 - 6 * j) & 63];
    }
  }
  return out;
}

// Token t < 256 is the byte t; then `longer` in order; then the control token; then the end token.
inline text::TokenizerPtr test_tokenizer(const std::vector<std::string>& longer = {}) {
  std::string ranks;
  int rank = 0;
  for (int byte = 0; byte < 256; ++byte) {
    ranks += base64(std::string(1, static_cast<char>(byte))) + " " + std::to_string(rank++) + "\n";
  }
  for (const std::string& token : longer) ranks += base64(token) + " " + std::to_string(rank++) + "\n";
  text::TiktokenSpec spec;
  spec.pattern = "[\\s\\S]";
  spec.specials = {{"<|x|>", rank}, {"<|endoftext|>", rank + 1}};
  auto made = text::tokenizer_from_tiktoken(ranks, spec, "test");
  CHECK(made, "the test vocabulary is refused");
  return std::move(*made);
}

// Whether the whole of `text`, byte by byte, is a text of the grammar.
inline bool accepts(const GrammarPtr& grammar, const TokenTablePtr& bytes, std::string_view text) {
  Matcher matcher(grammar, bytes);
  for (const char byte : text) {
    if (!matcher.accept(static_cast<unsigned char>(byte))) return false;
  }
  return matcher.complete();
}

inline std::vector<text::TokenId> allowed(Matcher& matcher, std::size_t size) {
  std::vector<std::uint64_t> mask((size + 63) / 64, ~std::uint64_t{0});
  matcher.mask(mask);
  std::vector<text::TokenId> out;
  for (std::size_t token = 0; token < size; ++token) {
    if ((mask[token / 64] >> token % 64 & 1) != 0) out.push_back(static_cast<text::TokenId>(token));
  }
  return out;
}

}  // namespace maestrale::grammar
