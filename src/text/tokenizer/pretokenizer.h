// Pre-tokenizers: cut a text into pieces that are encoded one by one. Every byte of the text ends up in
// exactly one piece, in order, unless a stage says that it drops what it matches.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maestrale::text {

class PieceSink {
 public:
  virtual void piece(std::string_view piece) = 0;

 protected:
  ~PieceSink() = default;
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void split(std::string_view text, PieceSink& sink) const = 0;
};

using PreTokenizerPtr = std::unique_ptr<const PreTokenizer>;

// What becomes of the matches of a Split stage (names as in Hugging Face's tokenizers).
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

// The published families that have a hand-written splitter.
enum class SplitFamily {
  kGpt2,
  kCl100k,
  kLlama3,
  kQwen2,
  kQwen35,
  kO200k,
  kTekken,
  kDeepseekV3,
  kDigits,       // every \p{N} alone
  kPunctuation,  // every \p{P} or ASCII symbol alone
  kWhiteSpaceDropped,
  kSpaceWords,  // before every U+2581 that follows another character
};

PreTokenizerPtr make_splitter(SplitFamily family);
// A regular expression with the meaning it has in tiktoken and Hugging Face (Unicode classes,
// leftmost-first). Expressions of the families above get the hand-written splitter.
Result<PreTokenizerPtr> make_regex_splitter(const std::string& pattern, SplitBehavior behavior, bool invert,
                                            const std::string& where);
PreTokenizerPtr make_literal_splitter(std::string pattern, SplitBehavior behavior, bool invert);
// Each stage cuts the pieces of the stage before it.
PreTokenizerPtr make_sequence(std::vector<PreTokenizerPtr> stages);

// tokenizer.ggml.pre of a GGUF file with byte-level BPE. Unknown names are refused.
struct NamedPreTokenizer {
  PreTokenizerPtr splitter;
  bool ignore_merges = false;
  bool add_bos = false;
};
Result<NamedPreTokenizer> pre_tokenizer_by_name(const std::string& name, const std::string& where);

}  // namespace maestrale::text
