// What a Tokenizer is made of. Loaders fill it in; after that it never changes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/tokenizer/model.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/pretokenizer.h"
#include "text/tokenizer/special_tokens.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/vocabulary.h"

namespace maestrale::text {

struct TokenizerParts {
  Vocabulary vocabulary;              // every token's bytes as they appear inside a text
  std::optional<Vocabulary> spelled;  // how the file spells them (U+2581 for blanks), where that differs
  std::optional<PieceTable> lookup;   // for find(), over `spelled` or `vocabulary`
  std::string family;
  FormatFacts format_facts;
  std::optional<TokenId> bos, unknown, padding;
  std::vector<TokenId> end_tokens;
  std::vector<TokenId> prefix, suffix;  // what add_special puts round the text
  SpecialTokens specials;               // looked for before the normaliser
  SpecialTokens normalized_specials;    // looked for after it
  NormalizerPtr normalizer;             // nullptr: none
  NormalizerPtr rewriter;               // after the normalized specials; nullptr: none
  PreTokenizerPtr pre_tokenizer;        // nullptr: the stretch is one piece
  std::unique_ptr<const Model> model;
  bool strip_leading_space = false;  // a blank at the start of a decoded text is the dummy prefix

  const Vocabulary& spellings() const { return spelled ? *spelled : vocabulary; }
};

// Adds `token` unless it is there.
void add_end_token(TokenizerParts& parts, std::optional<TokenId> token);
// End tokens by the spellings that the model families use (<|eot_id|>, <|im_end|>, …), among control tokens.
void add_end_tokens_by_spelling(TokenizerParts& parts);
// True for spellings that are control tokens whatever a file says of their type.
bool is_control_spelling(std::string_view spelling);

// The loaders' last step: builds the look-up and seals the parts.
std::unique_ptr<const Tokenizer> finish(std::unique_ptr<TokenizerParts> parts);

}  // namespace maestrale::text
