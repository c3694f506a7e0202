#include "chat/dialect.h"

#include <algorithm>

namespace maestrale::chat {
namespace {

constexpr ReasoningMarks kThink = {"<think>", "</think>"};

std::vector<Dialect> make_dialects() {
  return {
      {.name = "harmony",
       .signs = {"<|channel|>"},
       .reasoning = {},
       .calls = {},
       .inner_marks = {"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>",
                       "<|return|>"},
       .channels = true},
      {.name = "deepseek",
       .signs = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜Assistant｜>", "｜DSML｜"},
       .reasoning = {kThink},
       .calls = {{"<｜tool▁call▁begin｜>", read_deepseek_call},
                 {"<｜tool▁calls▁begin｜>"},
                 {"<｜tool▁calls▁end｜>"},
                 {"<｜DSML｜invoke", read_dsml_call},
                 {"<｜DSML｜function_calls>"},
                 {"</｜DSML｜function_calls>"}},
       .inner_marks = {"<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "｜DSML｜"}},
      {.name = "mistral",
       .signs = {"[TOOL_CALLS]", "[INST]"},
       .reasoning = {{"[THINK]", "[/THINK]", true}, kThink},
       .calls = {{"[TOOL_CALLS]", read_mistral_calls}},
       .inner_marks = {"[ARGS]", "[CALL_ID]"}},
      {.name = "gemma4",
       .signs = {"<|tool_call>"},
       .reasoning = {{"<|channel>thought", "<channel|>", true}},
       .calls = {{"<|tool_call>", read_gemma_call}},
       .inner_marks = {"<|channel>", "<tool_call|>", "<|\"|>"}},
      {.name = "function-gemma",
       .signs = {"<start_function_call>"},
       .reasoning = {},
       .calls = {{"<start_function_call>", read_function_gemma}},
       .inner_marks = {"<end_function_call>", "<escape>"}},
      {.name = "gemma",
       .signs = {"<start_of_turn>"},
       .reasoning = {},
       .calls = {{"```tool_code", read_tool_code}}},
      {.name = "llama4",
       .signs = {"<|header_start|>"},
       .reasoning = {kThink},
       .calls = {{"[", read_python_calls, false},
                 {"{", read_json_call, false},
                 {"<|python_start|>"},
                 {"<|python_end|>"}}},
      {.name = "hermes",
       .signs = {"<tool_call>", "<|im_start|>"},
       .reasoning = {kThink},
       .calls = {{"<tool_call>", read_hermes_call}},
       .inner_marks = {"</tool_call>"}},
      {.name = "llama3",
       .signs = {"<|start_header_id|>"},
       .reasoning = {kThink},
       .calls = {{"<|python_tag|>", read_python_tag},
                 {"{", read_json_call, false},
                 {"[", read_python_calls, false}}},
      {.name = "plain", .signs = {}, .reasoning = {kThink}, .calls = {}},
  };
}

}  // namespace

bool Dialect::uses(std::string_view control_token) const {
  const auto is = [&](std::string_view mark) { return mark == control_token; };
  return std::any_of(inner_marks.begin(), inner_marks.end(), is) ||
         std::any_of(reasoning.begin(), reasoning.end(),
                     [&](const ReasoningMarks& marks) { return is(marks.open) || is(marks.close); }) ||
         std::any_of(calls.begin(), calls.end(), [&](const CallTrigger& call) { return is(call.mark); });
}

const std::vector<Dialect>& dialects() {
  static const std::vector<Dialect> kDialects = make_dialects();
  return kDialects;
}

const Dialect* find_dialect(std::string_view name) {
  const auto& all = dialects();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Dialect& row) { return row.name == name; });
  return found == all.end() ? nullptr : &*found;
}

const Dialect& dialect_of(std::string_view chat_template, const text::Tokenizer* tokenizer) {
  const auto shows = [&](std::string_view sign) {
    if (!chat_template.empty()) return chat_template.find(sign) != chat_template.npos;
    if (tokenizer == nullptr) return false;
    const auto token = tokenizer->find(sign);
    return token && tokenizer->kind(*token) != text::TokenKind::kNormal;
  };
  for (const Dialect& row : dialects()) {
    if (std::any_of(row.signs.begin(), row.signs.end(), shows)) return row;
  }
  return dialects().back();
}

TurnStart start_of_prompt(const Dialect& dialect, std::string_view prompt) {
  const bool opens =
      std::any_of(dialect.reasoning.begin(), dialect.reasoning.end(), [&](const ReasoningMarks& marks) {
        const std::size_t blanks = prompt.find_last_not_of(" \t\r\n");
        return blanks != prompt.npos && prompt.substr(0, blanks + 1).ends_with(marks.open);
      });
  return opens ? TurnStart::kReasoning : TurnStart::kNew;
}

TurnStart start_inside(const Dialect& dialect, std::string_view begun) {
  const bool thinks =
      std::any_of(dialect.reasoning.begin(), dialect.reasoning.end(), [&](const ReasoningMarks& marks) {
        const std::size_t open = begun.rfind(marks.open);
        return open != begun.npos && begun.find(marks.close, open) == begun.npos;
      });
  return thinks ? TurnStart::kReasoning : TurnStart::kText;
}

std::string_view text_begun(const Dialect& dialect, std::string_view begun) {
  for (const ReasoningMarks& marks : dialect.reasoning) {
    const std::size_t close = begun.rfind(marks.close);
    if (close == begun.npos) continue;
    begun.remove_prefix(close + marks.close.size());
    begun.remove_prefix(std::min(begun.find_first_not_of(" \t\r\n"), begun.size()));
  }
  return begun;
}

}  // namespace maestrale::chat
