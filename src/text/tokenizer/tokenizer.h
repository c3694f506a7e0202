// Tokenizer: bytes <-> token ids, whatever the vocabulary came from. Built by the functions in
// text/tokenizer/load.h; immutable and safe to share between threads after that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/utf8.h"

namespace maestrale::text {

using TokenId = std::int32_t;

struct EncodeOptions {
  bool add_special = false;  // put the model's own BOS (and EOS) round the text
  bool parse_special =
      false;  // strings that spell a special token become that token; else they are plain text
};

struct DecodeOptions {
  bool skip_special = true;  // control tokens give no text
};

enum class TokenKind : std::uint8_t { kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };

// What a vocabulary file says of the prompt format it goes with (Tekken files do).
struct FormatFacts {
  std::string version = {};                         // "v3", "v13"; empty where the file says nothing
  std::vector<std::string> reasoning_efforts = {};  // the values that the model knows
  std::string default_reasoning_effort = {};        // empty: none
  bool needs_reasoning_effort = false;              // there is no default
};

struct TokenizerParts;

class Tokenizer {
 public:
  explicit Tokenizer(std::unique_ptr<const TokenizerParts> parts);  // loaders call finish() (parts.h)
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // Bytes of the whole sequence, leading-space rules of the family applied; may end inside a character.
  std::string decode(std::span<const TokenId> tokens, const DecodeOptions& options = {}) const;

  std::int32_t size() const;
  // The token's bytes as it appears inside a text; control tokens give their spelling, e.g. "<s>".
  std::string_view bytes(TokenId token) const;
  TokenKind kind(TokenId token) const;
  std::optional<TokenId> find(
      std::string_view spelling) const;  // special tokens first, then exact vocabulary entry
  std::optional<TokenId> bos() const;
  std::optional<TokenId> unknown() const;
  std::optional<TokenId> padding() const;
  // Tokens that end an answer: EOS, EOT, EOM as the file and the family define them.
  std::span<const TokenId> end_tokens() const;
  bool adds_bos() const;
  const FormatFacts& format_facts() const;
  std::string_view family() const;  // "byte-bpe", "sentencepiece-bpe", "unigram", "wordpiece", "tekken", ...

  // Appends what `token` adds to a decoded text. `at_start` is true before the first token and tells whether
  // the family's dummy blank is still to be dropped.
  void append_decoded(TokenId token, const DecodeOptions& options, bool& at_start, std::string& out) const;

 private:
  std::unique_ptr<const TokenizerParts> parts_;
};

// Feeds tokens one at a time and returns only whole characters (invalid bytes become U+FFFD at the end).
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {});
  std::string push(TokenId token);
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  bool first_ = true;
  Utf8Stream stream_;
};

}  // namespace maestrale::text
