// From the published vocabulary files to a Tokenizer. Every function takes bytes (so that a fuzzer can), a
// name for errors, and refuses what it does not implement by name.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::text {

// The tokenizer.ggml.* keys of a GGUF file, as they stand there (files/ fills this in).
struct GgufVocabulary {
  std::string model;  // tokenizer.ggml.model: "llama", "gpt2", "t5", "bert"
  std::string pre;    // tokenizer.ggml.pre, empty if absent
  std::vector<std::string> tokens;
  std::vector<float> scores;              // empty or one per token
  std::vector<std::int32_t> token_types;  // empty or one per token (1 normal … 6 byte)
  std::vector<std::string> merges;
  std::optional<std::int64_t> bos, eos, eot, eom, unknown, padding;
  std::optional<bool> add_bos, add_eos, add_space_prefix, remove_extra_whitespaces;
  std::string precompiled_charsmap;  // bytes; unigram models
};

using TokenizerPtr = std::unique_ptr<const Tokenizer>;

Result<TokenizerPtr> tokenizer_from_gguf(const GgufVocabulary& vocabulary, const std::string& where);
// Hugging Face tokenizer.json; `config_json` is tokenizer_config.json's text or empty (add_bos_token,
// eos_token …).
Result<TokenizerPtr> tokenizer_from_json(std::string_view tokenizer_json, std::string_view config_json,
                                         const std::string& where);
// SentencePiece ModelProto (tokenizer.model, tokenizer.model.v1/.v2/.v3/.v7).
Result<TokenizerPtr> tokenizer_from_sentencepiece(std::string_view proto, const std::string& where);
// Mistral's tekken.json.
Result<TokenizerPtr> tokenizer_from_tekken(std::string_view tekken_json, const std::string& where);
// llama2.c tokenizer.bin (f32 score, u32 length, bytes per entry); vocab_size from the model file.
Result<TokenizerPtr> tokenizer_from_llama2c(std::string_view bytes, std::int64_t vocab_size,
                                            const std::string& where);

// tiktoken rank files ("base64 rank" lines): used by Llama 3/4 originals and OpenAI's vocabularies.
struct TiktokenSpec {
  std::string pattern;                                    // pre-tokenizer expression
  std::vector<std::pair<std::string, TokenId>> specials;  // spelling, id
  TokenId rank_offset = 0;                                // id = rank + rank_offset (Tekken: 1000)
};
Result<TokenizerPtr> tokenizer_from_tiktoken(std::string_view ranks, const TiktokenSpec& spec,
                                             const std::string& where);

}  // namespace maestrale::text
