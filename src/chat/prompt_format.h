// How a model wants conversations put to it: by the template it brings, or by a format written in code where
// it brings none (Mistral's own folders, gpt-oss).
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/json.h"
#include "chat/dialect.h"
#include "files/checkpoint.h"
#include "text/template/harmony.h"
#include "text/template/mistral.h"
#include "text/template/prompt.h"
#include "text/template/template.h"

namespace maestrale::chat {

class PromptFormat {
 public:
  // The format of a model with a tokenizer; `template_source` (from `where`) instead of the model's own
  // template where it is not empty.
  static Result<PromptFormat> of(const files::Checkpoint& checkpoint, std::string_view template_source,
                                 const std::string& where);

  // `variables` as chat templates take them: messages, tools, add_generation_prompt, …; where
  // continue_final_message is true the prompt ends inside the last message.
  Result<text::Prompt> prompt(const json::object& variables, const text::RenderClock& clock = {}) const;
  const Dialect& dialect() const { return *dialect_; }

 private:
  using Way = std::variant<text::ChatTemplate, text::MistralFormat, text::HarmonyFormat>;
  PromptFormat(Way way, const text::Tokenizer& tokenizer, const Dialect& dialect)
      : way_(std::move(way)), tokenizer_(&tokenizer), dialect_(&dialect) {}

  Way way_;
  const text::Tokenizer* tokenizer_;
  const Dialect* dialect_;
};

}  // namespace maestrale::chat
