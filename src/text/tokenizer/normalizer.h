// Normalisers: rewrite a stretch of text before it is cut into pieces.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maestrale::text {

// Where the stretch stands: at the very start of the text, or after a special token.
struct Stretch {
  bool first = true;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual std::string apply(std::string_view text, const Stretch& stretch) const = 0;
};

using NormalizerPtr = std::unique_ptr<const Normalizer>;

// SentencePiece: charsmap, white space rules, U+2581 for blanks.
struct SentencePieceRules {
  bool dummy_prefix = true;
  bool remove_extra_white_space = false;
  bool escape_white_space = true;
  bool suffix = false;  // the dummy blank goes to the end
};
NormalizerPtr make_sentencepiece_normalizer(const SentencePieceRules& rules, NormalizerPtr charsmap);
// precompiled_charsmap of a SentencePiece model.
Result<NormalizerPtr> make_charsmap(std::string bytes, const std::string& where);

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };
NormalizerPtr make_unicode_normalizer(UnicodeForm form);
NormalizerPtr make_prepend(std::string prefix);
NormalizerPtr make_replace(std::string from, std::string to);
NormalizerPtr make_collapse_blanks(std::string to);  // every run of two blanks or more becomes `to`
NormalizerPtr make_lowercase();
NormalizerPtr make_strip_accents();
NormalizerPtr make_strip(bool left, bool right);
// Metaspace and ByteLevel's add_prefix_space, which Hugging Face counts among the pre-tokenizers.
NormalizerPtr make_prefix_unless_there(std::string prefix, bool first_only);
struct BertRules {
  bool clean = true;
  bool chinese = true;
  bool strip_accents = true;
  bool lowercase = true;
  // What GGUF files expect (llama.cpp): accents are all of \p{M}, and of a character's canonical
  // decomposition only the first character stays, also for Hangul syllables. BERT itself drops nonspacing
  // marks and keeps the rest.
  bool first_of_decomposition = false;
};
NormalizerPtr make_bert_normalizer(const BertRules& rules);
NormalizerPtr make_normalizer_sequence(std::vector<NormalizerPtr> steps);

}  // namespace maestrale::text
