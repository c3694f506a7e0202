#include "text/template/prompt.h"

namespace maestrale::text {

void PromptWriter::control(TokenId token) { tokens({token}); }

void PromptWriter::text(std::string_view text) { tokens(tokenizer_->encode(text)); }

void PromptWriter::tokens(const std::vector<TokenId>& tokens) {
  bool at_start = false;  // blanks that the vocabulary puts before a stretch are part of the prompt
  for (const TokenId token : tokens) {
    prompt_.tokens.push_back(token);
    tokenizer_->append_decoded(token, {.skip_special = false}, at_start, prompt_.text);
  }
}

Result<TokenId> control_token(const Tokenizer& tokenizer, std::string_view spelling,
                              const std::string& where) {
  const auto token = tokenizer.find(spelling);
  if (token && tokenizer.kind(*token) == TokenKind::kControl) return *token;
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "the vocabulary lacks a control token of this prompt format",
               .where = where,
               .expected = std::string(spelling)};
}

}  // namespace maestrale::text
