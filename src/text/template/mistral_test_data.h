// Vocabularies for the tests of prompt formats.
#pragma once

#include <memory>
#include <string>

#include "text/tokenizer/load.h"

namespace maestrale::text {

// A Tekken file whose tokens are single bytes, with the control tokens that version `version` has.
std::string small_tekken(int version);
TokenizerPtr small_tekken_tokenizer(int version);

}  // namespace maestrale::text
