#include "chat/dialect.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "chat/byte_vocabulary.h"
#include "chat/fill_in.h"
#include "chat/turn_parser.h"

namespace maestrale::chat {
namespace {

std::filesystem::path shared() {
  const char* said = std::getenv("MAESTRALE_SHARED");
  return said == nullptr ? "../shared" : said;
}

struct Published {
  const char* file;
  const char* dialect;
};

TEST(Dialects, FollowFromPublishedTemplates) {
  const auto folder = shared() / "data/chat_templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not here (set MAESTRALE_SHARED)";
  for (const Published& row : std::initializer_list<Published>{
           {"mistral-common/chat_templates/v3_spm.jinja", "mistral"},
           {"mistral-common/chat_templates/v13_think.jinja", "mistral"},
           {"mistral-common/chat_templates/v1_spm.jinja", "mistral"},
           {"llama_cpp/mistralai-Mistral-Nemo-Instruct-2407.jinja", "mistral"},
           {"llama_cpp/meta-llama-Llama-3.1-8B-Instruct.jinja", "llama3"},
           {"llama_cpp/meta-llama-Llama-3.2-3B-Instruct.jinja", "llama3"},
           {"llama_cpp/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", "deepseek"},
           {"llama_cpp/deepseek-ai-DeepSeek-V3.1.jinja", "deepseek"},
           {"llama_cpp/llama-cpp-deepseek-r1.jinja", "deepseek"},
           {"llama_cpp/openai-gpt-oss-120b.jinja", "harmony"},
           {"llama_cpp/Qwen-Qwen3-0.6B.jinja", "hermes"},
           {"llama_cpp/Qwen-Qwen2.5-7B-Instruct.jinja", "hermes"},
           {"llama_cpp/Qwen3-Coder.jinja", "hermes"},
           {"llama_cpp/NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja", "hermes"},
           {"llama_cpp/google-gemma-2-2b-it.jinja", "gemma"},
           {"llama_cpp/google-gemma-4-31B-it.jinja", "gemma4"}}) {
    EXPECT_EQ(dialect_of(read_file(folder / row.file, 1 << 22).value(), nullptr).name, row.dialect)
        << row.file;
  }
  EXPECT_EQ(dialect_of("{{ messages }}", nullptr).name, "plain");
}

TEST(Dialects, HaveDifferentNamesAndNoMarkThatBeginsAnother) {
  std::set<std::string_view> names;
  for (const Dialect& row : dialects()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    std::vector<std::string_view> marks;
    for (const auto& reasoning : row.reasoning) marks.push_back(reasoning.open);
    for (const auto& call : row.calls) marks.push_back(call.mark);
    for (std::size_t i = 0; i < marks.size(); ++i) {
      for (std::size_t j = 0; j < marks.size(); ++j) {
        EXPECT_FALSE(i != j && marks[i].starts_with(marks[j])) << row.name << ": " << marks[i];
      }
    }
  }
}

TEST(Dialects, PromptsThatOpenTheThoughts) {
  const Dialect& dialect = *find_dialect("hermes");
  EXPECT_EQ(start_of_prompt(dialect, "<|im_start|>assistant\n<think>\n"), TurnStart::kReasoning);
  EXPECT_EQ(start_of_prompt(dialect, "<think>\n\n</think>\n\n"), TurnStart::kNew);
  EXPECT_EQ(start_of_prompt(dialect, "<|im_start|>assistant\n"), TurnStart::kNew);
  EXPECT_EQ(start_of_prompt(dialect, ""), TurnStart::kNew);
  EXPECT_EQ(start_inside(dialect, "It is"), TurnStart::kText);
  EXPECT_EQ(start_inside(dialect, "<think>hm</think>It is"), TurnStart::kText);
  EXPECT_EQ(start_inside(dialect, "<think>hm"), TurnStart::kReasoning);
  EXPECT_EQ(text_begun(dialect, "<think>hm</think>\n\nIt is"), "It is");
  EXPECT_EQ(text_begun(dialect, " It is"), " It is");
}

TEST(TurnReaders, SpellOnlyTheControlTokensOfTheirDialect) {
  const auto tokenizer = bytes_and({"[TOOL_CALLS]", "[ARGS]", "[PREFIX]"});
  TurnReader reader(dialect_of("", tokenizer.get()), *tokenizer, TurnStart::kNew);
  std::vector<Event> events;
  const auto push = [&](text::TokenId token, std::string_view text) {
    for (Event& event : reader.push(token, text)) add_event(events, std::move(event));
  };
  push(*tokenizer->find("[PREFIX]"), "");
  push('a', "a");
  push(*tokenizer->find("[TOOL_CALLS]"), "");
  push('f', "f");
  push(*tokenizer->find("[ARGS]"), "");
  push('{', "{");
  push('}', "}");
  for (Event& event : reader.finish()) add_event(events, std::move(event));
  const Turn turn = turn_of(events);
  EXPECT_EQ(turn.text, "a");
  ASSERT_EQ(turn.calls.size(), 1u);
  EXPECT_EQ(turn.calls[0].name + turn.calls[0].arguments, "f{}");
}

TEST(FillIn, FormatsOfTheVocabularies) {
  const auto text = [](const std::vector<std::string>& controls) {
    const auto prompt = fill_in_prompt(*bytes_and(controls), "ab", "c");
    return prompt.ok() ? prompt->text : "error: " + prompt.error().render();
  };
  EXPECT_EQ(text({"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"}),
            "<|fim_prefix|>ab<|fim_suffix|>c<|fim_middle|>");
  EXPECT_EQ(text({"<｜begin▁of▁sentence｜>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"}),
            "<｜begin▁of▁sentence｜><｜fim▁begin｜>ab<｜fim▁hole｜>c<｜fim▁end｜>");
  EXPECT_EQ(text({"<|fim_prefix|>"}).find("error: "), 0u);
}

}  // namespace
}  // namespace maestrale::chat
