// A tokenizer from SentencePiece's pieces, whichever file they came in.
#include <algorithm>

#include "text/tokenizer/bpe.h"
#include "text/tokenizer/loading.h"
#include "text/tokenizer/unigram.h"

namespace maestrale::text {
namespace {

Status check(const SentencePieceData& data, const std::string& where) {
  if (data.pieces.empty() || data.scores.size() != data.pieces.size() ||
      data.kinds.size() != data.pieces.size()) {
    return Error{.what = "the vocabulary's arrays do not match",
                 .where = where,
                 .expected = "one score and one type for each piece, at least one piece",
                 .found = std::to_string(data.pieces.size()) + " pieces, " +
                          std::to_string(data.scores.size()) + " scores, " +
                          std::to_string(data.kinds.size()) + " types"};
  }
  for (std::size_t i = 0; i < data.pieces.size(); ++i) {
    if (data.kinds[i] == TokenKind::kByte && !byte_of_spelling(data.pieces[i])) {
      return Error{.what = "a byte token is not spelled <0xNN>",
                   .where = where,
                   .found = "'" + data.pieces[i] + "' at id " + std::to_string(i)};
    }
  }
  return {};
}

std::string bytes_in_text(const SentencePieceData& data, std::size_t i) {
  const std::string& piece = data.pieces[i];
  if (data.kinds[i] == TokenKind::kControl) return piece;
  if (data.kinds[i] == TokenKind::kUnknown) return data.unknown_surface;
  if (data.kinds[i] == TokenKind::kByte) return std::string(1, static_cast<char>(*byte_of_spelling(piece)));
  return replace_all(piece, kBlankBlock, " ");
}

// The pieces themselves, the special tokens among them, and which of them ordinary text may become.
std::vector<TokenId> add_pieces(const SentencePieceData& data, TokenizerParts& parts) {
  std::vector<TokenId> ordinary;
  parts.spelled.emplace();
  for (std::size_t i = 0; i < data.pieces.size(); ++i) {
    const TokenKind kind = data.kinds[i];
    const TokenId token = parts.spelled->add(data.pieces[i], kind);
    parts.vocabulary.add(bytes_in_text(data, i), kind);
    if (kind == TokenKind::kNormal || kind == TokenKind::kUserDefined || kind == TokenKind::kUnused) {
      ordinary.push_back(token);
    }
    if (kind == TokenKind::kControl || kind == TokenKind::kUnknown) {
      parts.specials.add({.spelling = data.pieces[i], .token = token});
    } else if (kind == TokenKind::kUserDefined) {
      parts.normalized_specials.add({.spelling = data.pieces[i], .token = token, .control = false});
    }
  }
  return ordinary;
}

std::array<TokenId, 256> byte_tokens(const SentencePieceData& data) {
  std::array<TokenId, 256> tokens{};
  tokens.fill(kNoToken);
  for (std::size_t i = 0; i < data.pieces.size(); ++i) {
    if (data.kinds[i] == TokenKind::kByte)
      tokens[*byte_of_spelling(data.pieces[i])] = static_cast<TokenId>(i);
  }
  return tokens;
}

void add_specials_round_text(const SentencePieceData& data, TokenizerParts& parts) {
  parts.bos = data.bos;
  parts.unknown = data.unknown;
  parts.padding = data.padding;
  if (data.add_bos && data.bos) parts.prefix.push_back(*data.bos);
  if (data.add_eos && data.eos) parts.suffix.push_back(*data.eos);
  add_end_token(parts, data.eos);
  add_end_tokens_by_spelling(parts);
}

}  // namespace

Result<std::unique_ptr<TokenizerParts>> sentencepiece_parts(SentencePieceData data,
                                                            const std::string& where) {
  TRY(check(data, where));
  std::vector<std::uint32_t> priorities = TRY(priorities_by_score(data.scores, where));
  auto parts = std::make_unique<TokenizerParts>();
  const std::vector<TokenId> ordinary = add_pieces(data, *parts);
  NormalizerPtr charsmap;
  if (!data.charsmap.empty()) charsmap = TRY(make_charsmap(std::move(data.charsmap), where));
  parts->normalizer = make_sentencepiece_normalizer(data.rules, std::move(charsmap));
  parts->strip_leading_space = data.rules.dummy_prefix && !data.rules.suffix;
  if (data.unigram) {
    std::vector<TokenId> usable = ordinary;
    std::erase_if(usable, [&](TokenId token) { return parts->spelled->kind(token) == TokenKind::kUnused; });
    parts->family = "unigram";
    parts->model =
        std::make_unique<const UnigramModel>(*parts->spelled, usable,
                                             UnigramSettings{.scores = data.scores,
                                                             .unknown = data.unknown.value_or(kNoToken),
                                                             .byte_fallback = data.byte_fallback,
                                                             .byte_tokens = byte_tokens(data)});
  } else {
    PieceTable table(*parts->spelled);
    for (const TokenId token : ordinary) table.insert(token);
    if (splits_at_blanks(*parts->spelled)) parts->pre_tokenizer = make_splitter(SplitFamily::kSpaceWords);
    parts->family = "sentencepiece-bpe";
    BpeSettings settings{.rule = BpeSettings::Rule::kScores,
                         .characters = true,
                         .byte_fallback = data.byte_fallback,
                         .unknown = data.unknown.value_or(kNoToken),
                         .byte_tokens = byte_tokens(data),
                         .priorities = std::move(priorities)};
    parts->model =
        std::make_unique<const BpeModel>(*parts->spelled, std::move(table), std::move(settings), nullptr);
  }
  add_specials_round_text(data, *parts);
  return parts;
}

}  // namespace maestrale::text
