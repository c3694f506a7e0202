#include "text/tokenizer/special_tokens.h"

#include "base/utf8.h"
#include "text/tokenizer/unicode.h"

namespace maestrale::text {
namespace {

// Start of the white space that ends at the end of `text`.
std::size_t white_space_before(std::string_view text, std::size_t floor) {
  std::size_t end = text.size();
  while (end > floor) {
    std::size_t begin = end - 1;
    while (begin > floor && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
    const DecodedCodepoint c = decode_utf8(text.substr(begin, end - begin));
    if (!c.valid || static_cast<std::size_t>(c.length) != end - begin || !is_white_space(c.codepoint)) break;
    end = begin;
  }
  return end;
}

bool word_character_at(std::string_view text, std::size_t pos) {
  if (pos >= text.size()) return false;
  const DecodedCodepoint c = decode_utf8(text.substr(pos));
  return c.valid && is_word_character(c.codepoint);
}

bool word_character_before(std::string_view text, std::size_t pos) {
  if (pos == 0) return false;
  std::size_t begin = pos - 1;
  while (begin > 0 && pos - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  return word_character_at(text, begin);
}

}  // namespace

void SpecialTokens::add(SpecialToken token) {
  if (token.spelling.empty()) return;
  const auto index = static_cast<std::int32_t>(tokens_.size());
  if (trie_.insert(token.spelling, index) != index) return;
  const auto first = static_cast<unsigned char>(token.spelling[0]);
  (token.control ? first_control_ : first_added_)[first] = true;
  any_added_ = any_added_ || !token.control;
  tokens_.push_back(std::move(token));
}

std::optional<TokenId> SpecialTokens::find(std::string_view spelling) const {
  std::uint32_t node = ByteTrie::kRoot;
  for (const char byte : spelling) {
    node = trie_.step(node, byte);
    if (node == ByteTrie::kNone) return std::nullopt;
  }
  if (trie_.value(node) < 0) return std::nullopt;
  return tokens_[static_cast<std::size_t>(trie_.value(node))].token;
}

const SpecialToken* SpecialTokens::match(std::string_view text, std::size_t pos, bool parse_special) const {
  const SpecialToken* best = nullptr;
  std::uint32_t node = ByteTrie::kRoot;
  for (std::size_t end = pos; end < text.size(); ++end) {
    node = trie_.step(node, text[end]);
    if (node == ByteTrie::kNone) break;
    if (trie_.value(node) < 0) continue;
    const SpecialToken& token = tokens_[static_cast<std::size_t>(trie_.value(node))];
    if (token.control && !parse_special) continue;
    if (token.single_word && (word_character_before(text, pos) || word_character_at(text, end + 1))) continue;
    best = &token;
  }
  return best;
}

void SpecialTokens::split(std::string_view text, bool parse_special, Sink& sink) const {
  if (tokens_.empty() || (!any_added_ && !parse_special)) {
    if (!text.empty()) sink.text(text);
    return;
  }
  std::size_t begin = 0;  // of the text not handed on yet
  for (std::size_t pos = 0; pos < text.size();) {
    const auto byte = static_cast<unsigned char>(text[pos]);
    const bool starts = first_added_[byte] || (parse_special && first_control_[byte]);
    const SpecialToken* found = starts ? match(text, pos, parse_special) : nullptr;
    if (found == nullptr) {
      ++pos;
      continue;
    }
    const std::size_t before = found->lstrip ? white_space_before(text.substr(0, pos), begin) : pos;
    if (before > begin) sink.text(text.substr(begin, before - begin));
    sink.token(found->token);
    pos += found->spelling.size();
    if (found->rstrip) pos = Scanner(text).skip(pos, kWhiteSpace);
    begin = pos;
  }
  if (begin < text.size()) sink.text(text.substr(begin));
}

}  // namespace maestrale::text
