// What the loaders share: checks on vocabularies and the two ways to assemble a tokenizer that several file
// formats lead to.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/tokenizer/load.h"
#include "text/tokenizer/parts.h"

namespace maestrale::text {

inline constexpr std::string_view kBlankBlock = "\xe2\x96\x81";  // U+2581, SentencePiece's blank

std::string replace_all(std::string_view text, std::string_view from, std::string_view to);
// The byte of "<0xNN>".
std::optional<unsigned char> byte_of_spelling(std::string_view spelling);
Result<std::string> decode_base64(std::string_view text, const std::string& where);
// Error if two entries are spelled alike.
Status check_unique(const std::vector<std::string>& pieces, const std::string& where);
// Error if `token` is not in [0, size).
Status check_token(std::optional<std::int64_t> token, std::size_t size, std::string_view name,
                   const std::string& where);
// Order of every token by score, best first; equal scores share a number.
Result<std::vector<std::uint32_t>> priorities_by_score(const std::vector<float>& scores,
                                                       const std::string& where);
// Pieces may be cut before every U+2581 that follows another character without changing the result.
bool splits_at_blanks(const Vocabulary& spelled);

struct SentencePieceData {
  std::vector<std::string> pieces;
  std::vector<float> scores;     // one per piece
  std::vector<TokenKind> kinds;  // one per piece
  bool unigram = false;
  bool byte_fallback = true;
  SentencePieceRules rules;
  std::string charsmap;
  std::optional<TokenId> bos, eos, unknown, padding;
  bool add_bos = true;
  bool add_eos = false;
  std::string unknown_surface = " \xe2\x81\x87 ";
};
Result<std::unique_ptr<TokenizerParts>> sentencepiece_parts(SentencePieceData data, const std::string& where);

struct RankedData {
  std::vector<std::pair<std::string, TokenId>> tokens;  // bytes, id; order of the ids is the order of merging
  std::vector<std::pair<std::string, TokenId>> specials;  // spelling, id
  PreTokenizerPtr pre_tokenizer;
  std::string family;
};
Result<std::unique_ptr<TokenizerParts>> ranked_parts(RankedData data, const std::string& where);

}  // namespace maestrale::text
