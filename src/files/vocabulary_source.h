// A model's vocabulary in GGUF's terms, wherever it comes from, and in Hugging Face's.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "files/checkpoint.h"
#include "text/tokenizer/load.h"

namespace maestrale::files {

// From tokenizer.json (BPE, byte-level or SentencePiece-like); `config` is tokenizer_config.json or empty.
Result<text::GgufVocabulary> vocabulary_from_json(std::string_view tokenizer_json, std::string_view config,
                                                  const std::string& where);
Result<text::GgufVocabulary> vocabulary_from_sentencepiece(std::string_view proto, const std::string& where);
Result<text::GgufVocabulary> vocabulary_from_tekken(std::string_view tekken_json, const std::string& where);
Result<text::GgufVocabulary> vocabulary_from_llama2c(std::string_view bytes, std::int64_t vocab_size,
                                                     const std::string& where);
// Whatever lies in a folder, in the order in which open_checkpoint() looks.
Result<text::GgufVocabulary> vocabulary_of_folder(const std::filesystem::path& folder, Dialect dialect);

// tokenizer.json for a GGUF vocabulary of kind "gpt2" or "llama".
Result<std::string> tokenizer_json_from(const text::GgufVocabulary& vocabulary, const std::string& where);

// tokenizer.ggml.pre for a pre-tokenizer's expression, and back. Unknown ones are refused by name.
Result<std::string> pre_name_of(std::string_view expression, const std::string& where);
Result<std::string> expression_of(std::string_view pre_name, const std::string& where);

}  // namespace maestrale::files
