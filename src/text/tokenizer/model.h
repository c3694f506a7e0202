// The last step of encoding: one piece of text to ids.
#pragma once

#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace maestrale::text {

class Model {
 public:
  virtual ~Model() = default;
  virtual void encode(std::string_view piece, std::vector<TokenId>& out) const = 0;
};

}  // namespace maestrale::text
