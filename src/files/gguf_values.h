// Values of GGUF keys: scalars and nested arrays to JSON; the tokenizer's keys to a GgufVocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "files/byte_reader.h"
#include "files/gguf_reader.h"

namespace maestrale::files {

Result<std::string_view> read_gguf_string(ByteReader& in, std::string_view what);

// Reads one value of `type`. `budget` is the number of JSON values that may still be made: it bounds the
// memory that a file of one-byte elements could ask for.
Result<json::value> read_gguf_value(ByteReader& in, GgufType type, std::int64_t& budget,
                                    std::string_view key);
// Passes over one value, with the same checks.
Status skip_gguf_value(ByteReader& in, GgufType type, std::string_view key);

// Reads the array behind one tokenizer.ggml.* key into the vocabulary; arrays it does not know are passed
// over.
Status read_vocabulary_array(ByteReader& in, std::string_view key, text::GgufVocabulary& out);
// Files one scalar tokenizer.ggml.* key in the vocabulary.
Status store_vocabulary_scalar(const json::value& value, std::string_view key, const std::string& where,
                               text::GgufVocabulary& out);

}  // namespace maestrale::files
