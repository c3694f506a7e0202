// The parts of a Hugging Face tokenizer.json that stand round its model. What is not implemented is refused
// by name.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/parts.h"

namespace maestrale::text {

// nullptr for JSON null.
Result<NormalizerPtr> read_normalizer(const json::value& value, const std::string& where);

struct PreTokenizerPlan {
  NormalizerPtr rewriter;    // a first stage that depends on where the stretch stands (Metaspace "first")
  PreTokenizerPtr splitter;  // nullptr: none
  bool byte_level = false;
};
Result<PreTokenizerPlan> read_pre_tokenizer(const json::value& value, const std::string& where);

struct DecoderPlan {
  std::vector<std::pair<std::string, std::string>> replacements;
  bool byte_level = false;
  bool byte_fallback = false;  // <0xNN> is a byte
  bool strip_leading_space = false;
  bool word_piece = false;
  std::string continuing_prefix = "##";
};
Result<DecoderPlan> read_decoder(const json::value& value, const std::string& where);

struct PostPlan {
  std::vector<TokenId> prefix, suffix;
};
Result<PostPlan> read_post_processor(const json::value& value, const std::string& where);

// Members that several of them use.
Result<JsonFields> fields_of(const json::value& value, const std::string& where);
Error unsupported_component(std::string_view role, std::string_view name, const std::string& where);

}  // namespace maestrale::text
