// A prompt put together from control tokens and separately encoded stretches of text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace maestrale::text {

struct Prompt {
  std::vector<TokenId> tokens;
  std::string text;  // the same, control tokens spelled out
};

class PromptWriter {
 public:
  explicit PromptWriter(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  void control(TokenId token);
  // Text is only ever text: what spells a control token does not become one.
  void text(std::string_view text);
  void tokens(const std::vector<TokenId>& tokens);
  Prompt take() { return std::move(prompt_); }

 private:
  const Tokenizer* tokenizer_;
  Prompt prompt_;
};

// The token whose spelling this is, or an error that names it.
Result<TokenId> control_token(const Tokenizer& tokenizer, std::string_view spelling,
                              const std::string& where);

}  // namespace maestrale::text
