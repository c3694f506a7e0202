#include "chat/prompt_format.h"

#include <gtest/gtest.h>

#include "chat/byte_vocabulary.h"

namespace maestrale::chat {
namespace {

const std::vector<std::string> kMistralTokens = {"<s>",
                                                 "</s>",
                                                 "[INST]",
                                                 "[/INST]",
                                                 "[AVAILABLE_TOOLS]",
                                                 "[/AVAILABLE_TOOLS]",
                                                 "[TOOL_RESULTS]",
                                                 "[/TOOL_RESULTS]",
                                                 "[TOOL_CALLS]"};
const std::vector<std::string> kHarmonyTokens = {"<|start|>",   "<|message|>",   "<|end|>",   "<|call|>",
                                                 "<|channel|>", "<|constrain|>", "<|return|>"};

files::Checkpoint model(const std::vector<std::string>& controls, std::string chat_template) {
  files::Checkpoint checkpoint;
  checkpoint.tokenizer = bytes_and(controls);
  checkpoint.chat_template = std::move(chat_template);
  return checkpoint;
}

const json::object kHello = {{"messages", json::array{json::object{{"role", "user"}, {"content", "hi"}}}},
                             {"tools", nullptr},
                             {"documents", nullptr},
                             {"bos_token", "<s>"},
                             {"eos_token", "</s>"},
                             {"add_generation_prompt", true}};

TEST(PromptFormats, ATemplateRules) {
  const files::Checkpoint checkpoint =
      model(kMistralTokens, "{{ bos_token }}<|im_start|>{{ messages[0].content }}");
  const auto format = PromptFormat::of(checkpoint, "", "test");
  ASSERT_TRUE(format.ok()) << format.error().render();
  EXPECT_EQ(format->dialect().name, "hermes");
  const auto prompt = format->prompt(kHello);
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(prompt->text, "<s><|im_start|>hi");
  EXPECT_EQ(prompt->tokens.front(), *checkpoint.tokenizer->find("<s>"));
  EXPECT_EQ(PromptFormat::of(checkpoint, "[INST]", "test")->dialect().name, "mistral");
}

TEST(PromptFormats, MistralWithoutATemplate) {
  const files::Checkpoint checkpoint = model(kMistralTokens, "");
  const auto format = PromptFormat::of(checkpoint, "", "test");
  ASSERT_TRUE(format.ok()) << format.error().render();
  EXPECT_EQ(format->dialect().name, "mistral");
  EXPECT_EQ(format->prompt(kHello)->text, "<s>[INST]hi[/INST]");
  json::object unknown = kHello;
  unknown["enable_thinking"] = true;
  const auto refused = format->prompt(unknown);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().found, "enable_thinking");
}

TEST(PromptFormats, HarmonyWithoutATemplate) {
  const files::Checkpoint checkpoint = model(kHarmonyTokens, "");
  const auto format = PromptFormat::of(checkpoint, "", "test");
  ASSERT_TRUE(format.ok()) << format.error().render();
  const auto prompt = format->prompt(kHello, {.unix_seconds = 1767225600});
  ASSERT_TRUE(prompt.ok()) << prompt.error().render();
  EXPECT_NE(prompt->text.find("Current date: 2026-01-01"), std::string::npos);
  EXPECT_TRUE(prompt->text.ends_with("<|start|>user<|message|>hi<|end|><|start|>assistant"));
}

// What transformers 5 gives for continue_final_message.
TEST(PromptFormats, TheLastMessageGoesOn) {
  json::object unfinished = kHello;
  unfinished["add_generation_prompt"] = true;  // is not heeded
  unfinished["continue_final_message"] = true;
  unfinished["messages"].as_array().push_back(json::object{{"role", "assistant"}, {"content", "It is "}});
  const auto prompt_of = [&](const std::vector<std::string>& tokens, std::string chat_template) {
    const files::Checkpoint checkpoint = model(tokens, std::move(chat_template));
    const auto format = PromptFormat::of(checkpoint, "", "test");
    const auto prompt = format.ok() ? format->prompt(unfinished) : Result<text::Prompt>(format.error());
    return prompt.ok() ? prompt->text : prompt.error().what;
  };
  const std::string chatml =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  EXPECT_EQ(prompt_of(kMistralTokens, chatml),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nIt is ");
  const std::string trims = "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}";
  EXPECT_EQ(prompt_of(kMistralTokens, trims), "[hi][It is");
  EXPECT_NE(prompt_of(kMistralTokens, "{{ messages[0].content }}").find("cannot be gone on with"),
            std::string::npos);
  EXPECT_EQ(prompt_of(kMistralTokens, ""), "<s>[INST]hi[/INST]It is");
  EXPECT_TRUE(
      prompt_of(kHarmonyTokens, "")
          .ends_with("<|start|>user<|message|>hi<|end|><|start|>assistant<|channel|>final<|message|>It is "));
}

TEST(PromptFormats, OthersNeedATemplate) {
  const auto format = PromptFormat::of(model({"<s>"}, ""), "", "test");
  ASSERT_FALSE(format.ok());
  EXPECT_EQ(format.error().kind, ErrorKind::kNotFound);
}

}  // namespace
}  // namespace maestrale::chat
