// Where the tests find published vocabularies and expected ids, and the smallest readers that get them.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/load.h"

namespace maestrale::text {

std::string shared_path(const std::string& relative);  // below MAESTRALE_SHARED, or ../shared
bool shared_exists(const std::string& relative);
std::string read_shared(const std::string& relative);
std::string unzip_shared(const std::string& relative);
GgufVocabulary read_gguf_vocabulary(const std::string& bytes);
std::string text_of_hex(std::string_view hex);
std::vector<TokenId> ids_of(const json::value& array);

// The tokenizer that golden/tokenizers/NAME.json.gz speaks of.
Result<TokenizerPtr> load_golden_vocabulary(const json::object& golden, const std::string& name);
// A tekken.json with the given rank file as its vocabulary.
std::string make_tekken_json(const std::string& ranks, const std::string& pattern, int specials,
                             int vocab_size);

}  // namespace maestrale::text
