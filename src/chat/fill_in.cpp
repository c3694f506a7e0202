#include "chat/fill_in.h"

#include <algorithm>

#include "text/template/mistral.h"

namespace maestrale::chat {
namespace {

// Control tokens before the prefix, before the suffix, and after it.
struct Format {
  std::string_view prefix, suffix, middle;
};

constexpr Format kFormats[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},  // Qwen, CodeGemma
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},  // DeepSeek
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},        // StarCoder
};

bool has(const text::Tokenizer& tokenizer, std::string_view spelling) {
  const auto token = tokenizer.find(spelling);
  return token && tokenizer.kind(*token) != text::TokenKind::kNormal;
}

}  // namespace

Result<text::Prompt> fill_in_prompt(const text::Tokenizer& tokenizer, std::string_view prefix,
                                    std::string_view suffix) {
  if (has(tokenizer, "[PREFIX]") && has(tokenizer, "[SUFFIX]"))
    return TRY(text::MistralFormat::of(tokenizer, "vocabulary")).fill_in(prefix, suffix);
  for (const Format& format : kFormats) {
    if (!has(tokenizer, format.prefix) || !has(tokenizer, format.suffix) || !has(tokenizer, format.middle))
      continue;
    text::PromptWriter out(tokenizer);
    if (tokenizer.adds_bos() && tokenizer.bos()) out.control(*tokenizer.bos());
    out.control(*tokenizer.find(format.prefix));
    out.text(prefix);
    out.control(*tokenizer.find(format.suffix));
    out.text(suffix);
    out.control(*tokenizer.find(format.middle));
    return out.take();
  }
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "this model was not made for filling in",
               .where = "vocabulary",
               .expected = "control tokens such as [PREFIX] and [SUFFIX] or <|fim_prefix|>"};
}

}  // namespace maestrale::chat
