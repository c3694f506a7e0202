// A conversation in the form that chat templates take: a list of messages, turned into the model's prompt.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/prompt_format.h"
#include "files/checkpoint.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::app {

// The variables of a template for a conversation file: {messages, tools?, add_generation_prompt?, bos_token?,
// eos_token?, extra?} or a bare list of messages. An unknown key is an error. Where the file names no BOS or
// EOS, the tokenizer's (or none) are used.
Result<json::object> template_variables(const json::value& conversation, const text::Tokenizer* tokenizer,
                                        const std::string& where);

class Conversation {
 public:
  // In the format of `template_file`, or the model's own where that is empty.
  static Result<Conversation> create(const files::Checkpoint& checkpoint, const std::string& template_file);

  void add(std::string_view role, std::string_view content);
  void set_system(std::string_view content);  // empty: none
  void clear();                               // keeps the system message
  bool undo();                                // takes back the last question and its answer
  // Drops messages after the first `count`.
  void shrink(std::size_t count);
  const json::array& messages() const { return messages_; }
  // Replaces everything; each message must be an object with a role.
  Status replace(const json::value& conversation, const std::string& where);

  // Prompt for the assistant's next turn.
  Result<text::Prompt> prompt() const;
  const chat::Dialect& dialect() const { return format_.dialect(); }

 private:
  Conversation(chat::PromptFormat format, const text::Tokenizer& tokenizer)
      : format_(std::move(format)), tokenizer_(&tokenizer) {}

  chat::PromptFormat format_;
  const text::Tokenizer* tokenizer_;
  json::array messages_;
};

}  // namespace maestrale::app
