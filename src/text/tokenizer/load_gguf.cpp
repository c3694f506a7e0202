// tokenizer.ggml.* keys to a tokenizer.
#include <algorithm>

#include "text/tokenizer/bpe.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/loading.h"
#include "text/tokenizer/wordpiece.h"

namespace maestrale::text {
namespace {

std::optional<TokenId> token_or(std::optional<std::int64_t> token, std::optional<TokenId> fallback,
                                std::size_t size) {
  if (token) return static_cast<TokenId>(*token);
  if (fallback && static_cast<std::size_t>(*fallback) < size) return fallback;
  return std::nullopt;
}

Status check(const GgufVocabulary& v, const std::string& where) {
  const std::size_t size = v.tokens.size();
  const auto fits = [size](std::size_t n) { return n == 0 || n == size; };
  if (size == 0 || size > 0x7fffffff || !fits(v.scores.size()) || !fits(v.token_types.size())) {
    return Error{.what = "the vocabulary's arrays do not match",
                 .where = where,
                 .expected = "tokens, and one score and one type for each",
                 .found = std::to_string(size) + " tokens, " + std::to_string(v.scores.size()) + " scores, " +
                          std::to_string(v.token_types.size()) + " types"};
  }
  TRY(check_unique(v.tokens, where));
  TRY(check_token(v.bos, size, "bos_token_id", where));
  TRY(check_token(v.eos, size, "eos_token_id", where));
  TRY(check_token(v.eot, size, "eot_token_id", where));
  TRY(check_token(v.eom, size, "eom_token_id", where));
  TRY(check_token(v.unknown, size, "unknown_token_id", where));
  return check_token(v.padding, size, "padding_token_id", where);
}

// Types as the file gives them. Without types: byte tokens by their spelling, bos and eos by their ids.
Result<std::vector<TokenKind>> kinds_of(const GgufVocabulary& v, const std::string& where) {
  static constexpr std::array<TokenKind, 7> kKinds = {
      TokenKind::kNormal,      TokenKind::kNormal, TokenKind::kUnknown, TokenKind::kControl,
      TokenKind::kUserDefined, TokenKind::kUnused, TokenKind::kByte};
  std::vector<TokenKind> kinds(v.tokens.size(), TokenKind::kNormal);
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (!v.token_types.empty()) {
      if (v.token_types[i] < 0 || v.token_types[i] >= static_cast<std::int32_t>(kKinds.size())) {
        return Error{.what = "a token's type is not known",
                     .where = where,
                     .expected = "0 … 6",
                     .found = std::to_string(v.token_types[i]) + " at id " + std::to_string(i)};
      }
      kinds[i] = kKinds[static_cast<std::size_t>(v.token_types[i])];
    } else if (v.model != "gpt2" && byte_of_spelling(v.tokens[i])) {
      kinds[i] = TokenKind::kByte;
    }
    const bool ordinary = kinds[i] == TokenKind::kNormal || kinds[i] == TokenKind::kUserDefined;
    if (ordinary && is_control_spelling(v.tokens[i])) kinds[i] = TokenKind::kControl;
  }
  if (v.token_types.empty()) {
    for (const auto& token : {v.bos, v.eos, v.eot, v.eom}) {
      if (token) kinds[static_cast<std::size_t>(*token)] = TokenKind::kControl;
    }
    if (v.unknown) kinds[static_cast<std::size_t>(*v.unknown)] = TokenKind::kUnknown;
  }
  return kinds;
}

void add_ends(const GgufVocabulary& v, TokenizerParts& parts) {
  for (const auto& token : {v.eos, v.eot, v.eom}) {
    if (token) add_end_token(parts, static_cast<TokenId>(*token));
  }
  add_end_tokens_by_spelling(parts);
}

Result<TokenizerPtr> sentencepiece(const GgufVocabulary& v, const std::string& where) {
  const bool unigram = v.model == "t5";
  const std::size_t size = v.tokens.size();
  if (v.scores.empty()) return Error{.what = "scores are missing", .where = where};
  SentencePieceData data;
  data.pieces = v.tokens;
  data.scores = v.scores;
  data.kinds = TRY(kinds_of(v, where));
  data.unigram = unigram;
  data.byte_fallback = std::count(data.kinds.begin(), data.kinds.end(), TokenKind::kByte) == 256;
  data.rules.dummy_prefix = v.add_space_prefix.value_or(true);
  data.rules.remove_extra_white_space = v.remove_extra_whitespaces.value_or(unigram);
  data.charsmap = v.precompiled_charsmap;
  data.bos = token_or(v.bos, unigram ? std::nullopt : std::optional<TokenId>(1), size);
  data.eos = token_or(v.eos, unigram ? 1 : 2, size);
  data.unknown = token_or(v.unknown, unigram ? 2 : 0, size);
  data.padding = token_or(v.padding, std::nullopt, size);
  data.add_bos = v.add_bos.value_or(!unigram);
  data.add_eos = v.add_eos.value_or(unigram);
  auto parts = TRY(sentencepiece_parts(std::move(data), where));
  add_ends(v, *parts);
  return finish(std::move(parts));
}

// "left right" in the byte alphabet; the blank between them is the first after position 0.
Result<std::unique_ptr<const PairTable>> merge_pairs(const std::vector<std::string>& merges,
                                                     const PieceTable& table, const std::string& where) {
  auto pairs = std::make_unique<PairTable>(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const std::size_t blank = merge.find(' ', 1);
    const auto left = decode_byte_alphabet(merge.substr(0, std::min(blank, merge.size())));
    const auto right =
        blank == std::string_view::npos ? std::nullopt : decode_byte_alphabet(merge.substr(blank + 1));
    const TokenId a = left ? table.find(*left) : kNoToken;
    const TokenId b = right ? table.find(*right) : kNoToken;
    const TokenId joined = a == kNoToken || b == kNoToken ? kNoToken : table.find(*left + *right);
    if (joined == kNoToken) {
      return Error{.what = "a merge names pieces that are not in the vocabulary",
                   .where = where,
                   .found = "'" + merges[rank] + "' at rank " + std::to_string(rank)};
    }
    pairs->insert(a, b, {static_cast<std::uint32_t>(rank), joined});
  }
  return std::unique_ptr<const PairTable>(std::move(pairs));
}

Result<TokenizerPtr> byte_level(const GgufVocabulary& v, const std::string& where) {
  NamedPreTokenizer named = TRY(pre_tokenizer_by_name(v.pre, where));
  const std::vector<TokenKind> kinds = TRY(kinds_of(v, where));
  auto parts = std::make_unique<TokenizerParts>();
  for (std::size_t i = 0; i < v.tokens.size(); ++i) {
    const bool raw = kinds[i] != TokenKind::kNormal;
    const TokenId token = parts->vocabulary.add(
        raw ? v.tokens[i] : decode_byte_alphabet(v.tokens[i]).value_or(v.tokens[i]), kinds[i]);
    const bool control = kinds[i] == TokenKind::kControl || kinds[i] == TokenKind::kUnknown;
    if (control || kinds[i] == TokenKind::kUserDefined) {
      parts->specials.add({.spelling = v.tokens[i], .token = token, .control = control});
    }
  }
  PieceTable table(parts->vocabulary);
  for (TokenId token = 0; token < parts->vocabulary.size(); ++token) {
    if (parts->vocabulary.kind(token) == TokenKind::kNormal) table.insert(token);
  }
  BpeSettings settings{.rule = BpeSettings::Rule::kMerges, .whole_piece_first = named.ignore_merges};
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(static_cast<unsigned char>(byte));
    settings.byte_tokens[byte] = table.find(std::string_view(&c, 1));
  }
  auto pairs = TRY(merge_pairs(v.merges, table, where));
  parts->model = std::make_unique<const BpeModel>(parts->vocabulary, std::move(table), std::move(settings),
                                                  std::move(pairs));
  parts->pre_tokenizer = std::move(named.splitter);
  parts->family = v.pre == "tekken" ? "tekken" : "byte-bpe";
  parts->bos = token_or(v.bos, std::nullopt, 0);
  parts->unknown = token_or(v.unknown, std::nullopt, 0);
  parts->padding = token_or(v.padding, std::nullopt, 0);
  const bool add_bos = v.add_bos.value_or(named.add_bos);
  const bool add_eos = v.add_eos.value_or(false);
  if ((add_bos && !v.bos) || (add_eos && !v.eos)) {
    return Error{.what = "the file asks for a BOS or EOS token that it does not name", .where = where};
  }
  if (add_bos) parts->prefix.push_back(*parts->bos);
  if (add_eos) parts->suffix.push_back(static_cast<TokenId>(*v.eos));
  add_ends(v, *parts);
  return finish(std::move(parts));
}

Result<TokenizerPtr> word_piece(const GgufVocabulary& v, const std::string& where) {
  const std::vector<TokenKind> kinds = TRY(kinds_of(v, where));
  auto parts = std::make_unique<TokenizerParts>();
  std::vector<TokenId> ordinary;
  for (std::size_t i = 0; i < v.tokens.size(); ++i) {
    const bool normal = kinds[i] == TokenKind::kNormal;
    const TokenId token =
        parts->vocabulary.add(normal ? replace_all(v.tokens[i], kBlankBlock, " ") : v.tokens[i], kinds[i]);
    if (normal) {
      ordinary.push_back(token);
    } else {
      parts->specials.add(
          {.spelling = v.tokens[i], .token = token, .control = kinds[i] != TokenKind::kUserDefined});
    }
  }
  parts->bos = token_or(v.bos, parts->specials.find("[CLS]"), v.tokens.size());
  parts->unknown = token_or(v.unknown, parts->specials.find("[UNK]"), v.tokens.size());
  parts->padding = token_or(v.padding, parts->specials.find("[PAD]"), v.tokens.size());
  const std::optional<TokenId> separator = token_or(v.eos, parts->specials.find("[SEP]"), v.tokens.size());
  if (v.add_bos.value_or(true) && parts->bos) parts->prefix.push_back(*parts->bos);
  if (v.add_eos.value_or(true) && separator) parts->suffix.push_back(*separator);
  add_end_token(*parts, separator);
  parts->model = std::make_unique<const WordPieceModel>(parts->vocabulary, ordinary,
                                                        parts->unknown.value_or(kNoToken), 0);
  BertRules rules;
  rules.first_of_decomposition = true;
  parts->normalizer = make_bert_normalizer(rules);
  std::vector<PreTokenizerPtr> stages;
  stages.push_back(make_splitter(SplitFamily::kWhiteSpaceDropped));
  stages.push_back(make_splitter(SplitFamily::kPunctuation));
  parts->pre_tokenizer = make_sequence(std::move(stages));
  parts->strip_leading_space = true;
  parts->family = "wordpiece";
  return finish(std::move(parts));
}

}  // namespace

Result<TokenizerPtr> tokenizer_from_gguf(const GgufVocabulary& vocabulary, const std::string& where) {
  TRY(check(vocabulary, where));
  if (vocabulary.model == "gpt2") return byte_level(vocabulary, where);
  if (vocabulary.model == "llama" || vocabulary.model == "t5") return sentencepiece(vocabulary, where);
  if (vocabulary.model == "bert") return word_piece(vocabulary, where);
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "this kind of vocabulary is not supported",
               .where = where,
               .expected = "tokenizer.ggml.model llama, gpt2, t5 or bert",
               .found = "'" + vocabulary.model + "'"};
}

}  // namespace maestrale::text
