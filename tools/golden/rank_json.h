// A byte-level tokenizer.json from a tiktoken rank file: for vocabularies of which only the ranks are stored.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace maestrale::golden {

// Vocabulary and merges from `ranks` ("base64 rank" lines; a token's merge joins the two parts that the
// earlier ranks leave of it), `pre_tokenizer` and `special_tokens` from the case file.
Result<std::string> tokenizer_json_from_ranks(std::string_view ranks, const JsonFields& case_file);

}  // namespace maestrale::golden
