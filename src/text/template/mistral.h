// Mistral's prompt formats v1, v2, v3, v7, v11, v13 and v15, token for token as the publisher's library
// mistral-common encodes them: https://github.com/mistralai/mistral-common.
#pragma once

#include <memory>
#include <string>

#include "text/conversation.h"
#include "text/template/prompt.h"

namespace maestrale::text {

// What tells the versions apart.
struct MistralRules {
  int version = 1;
  bool control_tokens = true;    // v1 writes [INST] as text
  bool tools = true;             // calls, results and the list of tools
  bool keeps_old_calls = true;   // else calls before the last question are left out
  bool call_ids = true;          // nine letters or digits, required of results
  bool json_results = true;      // [TOOL_RESULTS]{"content": …, "call_id": …}, else text
  bool result_ids = false;       // [TOOL_RESULTS]id[TOOL_CONTENT]text
  bool system_turns = false;     // [SYSTEM_PROMPT], else a part of the first or last question
  bool text_with_calls = false;  // an answer may hold both
  bool tools_first = false;      // tools stand before the first question, else before the last
  bool calls_in_parts = false;   // [TOOL_CALLS]name[ARGS]{…}, else a JSON list
  bool strict_ids = false;       // every result answers a call, once
  bool thinking = false;         // [THINK]…[/THINK]
  bool settings = false;         // [MODEL_SETTINGS]
};

class MistralFormat {
 public:
  // The format that the vocabulary goes with: a Tekken file names its version, a SentencePiece vocabulary
  // shows it by its control tokens.
  static Result<MistralFormat> of(const Tokenizer& tokenizer, const std::string& where);

  int version() const { return rules_->version; }
  const MistralRules& rules() const { return *rules_; }

  // The prompt of a conversation; what the format cannot say is an error.
  Result<Prompt> encode(const Conversation& conversation) const;
  // The prompt to fill in what stands between the two; from v2 on.
  Result<Prompt> fill_in(std::string_view prefix, std::string_view suffix) const;

 private:
  struct Controls {
    TokenId bos = -1, eos = -1, inst = -1, inst_end = -1, tools = -1, tools_end = -1, results = -1,
            results_end = -1, calls = -1, system = -1, system_end = -1, content = -1, args = -1, call_id = -1,
            think = -1, think_end = -1, settings = -1, settings_end = -1;
  };
  class Writer;

  MistralFormat(const Tokenizer& tokenizer, const MistralRules& rules, std::string where)
      : tokenizer_(&tokenizer), rules_(&rules), where_(std::move(where)) {}
  Status find_controls();

  const Tokenizer* tokenizer_;
  const MistralRules* rules_;
  std::string where_;
  Controls controls_;
};

// The steps before encoding; public for their tests.
// Refuses conversations that the format does not know.
Status check_mistral(const Conversation& conversation, const MistralRules& rules);
// Neighbouring messages of one role become one, JSON is respelled, results stand in the order of their calls,
// system messages are taken out where they are no turns of their own.
struct MistralTurns {
  std::vector<Message> messages;
  std::string system;
};
MistralTurns mistral_turns(const Conversation& conversation, const MistralRules& rules);

}  // namespace maestrale::text
