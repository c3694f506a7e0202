// ECMA-262 expressions through PCRE2, for the validator: what the automata refuse is understood too.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct pcre2_real_code_8;

namespace maestrale::grammar {

class Pattern {
 public:
  // Errors: kInvalidInput.
  static Result<Pattern> make(std::string_view expression, const std::string& where);

  enum class Found { kNo, kYes, kTooMuchWork };
  Found search(std::string_view text) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace maestrale::grammar
