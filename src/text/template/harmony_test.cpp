// gpt-oss's prompt format against the renderings that OpenAI's library is tested with.
#include "text/template/harmony.h"

#include <gtest/gtest.h>

#include <sstream>

#include "text/tokenizer/golden_test_data.h"

namespace maestrale::text {
namespace {

const Tokenizer& tokenizer() {
  static const TokenizerPtr loaded = [] {
    const std::string path = "golden/tokenizers/o200k_harmony.json.gz";
    return load_golden_vocabulary(parse_json(unzip_shared(path), path).value().as_object(), "o200k_harmony")
        .value();
  }();
  return *loaded;
}

class Harmony : public testing::Test {
 protected:
  void SetUp() override {
    if (!shared_exists("data/chat_templates/harmony") ||
        !shared_exists("golden/tokenizers/o200k_harmony.json.gz"))
      GTEST_SKIP() << "no renderings (set MAESTRALE_SHARED)";
  }

  static std::string rendering(const std::string& name) {
    std::string text = read_shared("data/chat_templates/harmony/test_" + name + ".txt");
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }

  static void expect(const std::string& name, const std::vector<HarmonyMessage>& messages,
                     HarmonyFormat::Options options = {}) {
    const Prompt got = HarmonyFormat::of(tokenizer(), "test")->render(messages, options);
    const std::string expected = rendering(name);
    EXPECT_EQ(got.text, expected) << name;
    EXPECT_EQ(got.tokens, tokenizer().encode(expected, {.parse_special = true})) << name;
  }

  static HarmonyMessage system(HarmonySystem system, bool with_functions = false) {
    return {.author = "system", .text = harmony_system_text(system, with_functions)};
  }
};

ToolDefinition tool(std::string name, std::string description, const std::string& parameters) {
  ToolDefinition out{.name = std::move(name), .description = std::move(description)};
  out.has_parameters = !parameters.empty();
  if (out.has_parameters) out.parameters = parse_json(parameters, "test").value().as_object();
  return out;
}

const HarmonyMessage kFourPlease = {.author = "user", .text = "What is 2 + 2?"};

TEST_F(Harmony, SystemMessages) {
  expect("simple_convo", {system({}), kFourPlease});
  expect("reasoning_system_message", {system({.channels = {"analysis", "final"}}), kFourPlease});
  expect("reasoning_system_message_no_instruction",
         {system({.reasoning_effort = "high", .channels = {"analysis", "final"}}),
          {.author = "user", .text = "What is the best place to eat candy in the world?"}});
  expect("reasoning_system_message_with_dates",
         {system({.knowledge_cutoff = "2021-01", .date = "2021-01-01", .channels = {"analysis", "final"}}),
          {.author = "user", .text = "What is 42 * pi?"}});
  expect("no_tools", {system({.date = "2025-06-28"})});
}

TEST_F(Harmony, ReasoningEfforts) {
  for (const std::string effort : {"low", "medium", "high"}) {
    const HarmonyMessage question = {.author = "user",
                                     .text = "What is the capital of the largest country in the world?"};
    const HarmonyMessage developer = {
        .author = "developer",
        .text = harmony_developer_text("Answer the user's questions like a robot.", {})};
    expect("simple_convo_" + effort + "_effort_no_instruction",
           {system({.reasoning_effort = effort}), question});
    expect("simple_convo_" + effort + "_effort", {system({.reasoning_effort = effort}), developer, question});
  }
}

constexpr const char* kWeather = R"({"type": "object", "properties": {
    "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
    "format": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"}},
    "required": ["location"]})";
constexpr const char* kWeathers = R"({"type": "object", "properties": {
    "locations": {"type": "array", "items": {"type": "string"},
       "description": "List of city and state, e.g. [\"San Francisco, CA\", \"New York, NY\"]"},
    "format": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"}},
    "required": ["locations"]})";
constexpr const char* kKitchenSink = R"({"description": "params object", "type": "object", "properties": {
    "string": {"type": "string", "title": "STRING", "description": "A string", "examples": ["hello", "world"]},
    "string_nullable": {"type": "string", "nullable": true, "description": "A nullable string",
                        "default": "the default"},
    "string_enum": {"type": "string", "enum": ["a", "b", "c"]},
    "oneof_string_or_number": {"oneOf": [{"type": "string", "default": "default_string_in_oneof"},
                                         {"type": "number", "description": "numbers can happen too"}],
                               "description": "a oneof", "default": 20}}})";

TEST_F(Harmony, FunctionsWithParameters) {
  const HarmonyNamespace functions = {
      .name = "functions",
      .tools = {tool("get_location", "Gets the location of the user.", ""),
                tool("get_current_weather", "Gets the current weather in the provided location.", kWeather),
                tool("get_multiple_weathers", "Gets the current weather in the provided list of locations.",
                     kWeathers),
                tool("kitchensink", "A function with various complex schemas.", kKitchenSink)}};
  expect("render_functions_with_parameters",
         {system({.date = "2025-06-28", .reasoning_effort = "high"}, true),
          {.author = "developer", .text = harmony_developer_text("Always respond in riddles", {functions})},
          {.author = "user", .text = "What is the weather like in SF?"}});
}

// The words of the built-in tools stand in the rendering; here only the structure is ours.
HarmonyNamespace browser(const std::string& rendering) {
  const auto comment_before = [&](const std::string& mark) {
    const std::size_t end = rendering.find(mark);
    const std::size_t begin = rendering.rfind("\n\n", end) + 2;
    std::string text;
    std::istringstream lines(rendering.substr(begin, end - begin));
    for (std::string line; std::getline(lines, line);) text += line.substr(3) + "\n";
    return text;
  };
  return {
      .name = "browser",
      .description = comment_before("namespace browser"),
      .tools = {tool("search", comment_before("type search"),
                     R"({"type": "object", "properties": {"query": {"type": "string"},
                             "topn": {"type": "number", "default": 10}, "source": {"type": "string"}},
                             "required": ["query"]})"),
                tool("open", comment_before("type open"),
                     R"({"type": "object", "properties": {"id": {"type": ["number", "string"], "default": -1},
                             "cursor": {"type": "number", "default": -1}, "loc": {"type": "number", "default": -1},
                             "num_lines": {"type": "number", "default": -1},
                             "view_source": {"type": "boolean", "default": false}, "source": {"type": "string"}}})"),
                tool("find", comment_before("type find"),
                     R"({"type": "object", "properties": {"pattern": {"type": "string"},
                             "cursor": {"type": "number", "default": -1}}, "required": ["pattern"]})")}};
}

TEST_F(Harmony, BuiltInTools) {
  expect("browser_tool_only",
         {system({.date = "2025-06-28", .tools = {browser(rendering("browser_tool_only"))}})});
  const std::string both = rendering("browser_and_python_tool");
  const std::size_t begin = both.find("## python\n\n") + 11;
  const HarmonyNamespace python = {.name = "python",
                                   .description = both.substr(begin, both.find("\n\n# Valid") - begin)};
  expect("browser_and_python_tool", {system({.date = "2025-06-28", .tools = {browser(both), python}})});
  const HarmonyNamespace functions = {
      .name = "functions",
      .tools = {tool(
          "lookup_weather",
          "Use this tool to lookup the weather in a given location. Call it with the parameter "
          "'location', can be any textual description of a location.",
          R"({"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]})")}};
  expect("browser_and_function_tool",
         {system({.date = "2025-06-28", .tools = {browser(rendering("browser_and_function_tool"))}}, true),
          {.author = "developer", .text = harmony_developer_text("", {functions})}});
}

TEST_F(Harmony, ThoughtsBeforeTheFirstAnswerAreDropped) {
  const HarmonyMessage next = {.author = "user", .text = "What about 9 / 2?"};
  const HarmonyMessage answer = {.author = "assistant", .text = "2 + 2 equals 4.", .channel = "final"};
  const HarmonyMessage thought = {.author = "assistant",
                                  .text = "User asks a simple question: \"What is 2 + 2?\" The answer: 4.",
                                  .channel = "analysis"};
  expect("dropping_cot_by_default", {kFourPlease, thought, answer, next}, {.drop_analysis = true});
  expect("preserve_cot", {kFourPlease, thought, answer, next});
  expect("keep_analysis_between_finals",
         {kFourPlease,
          {.author = "assistant", .text = "thinking 2+2", .channel = "analysis"},
          {.author = "assistant", .text = "4", .channel = "final"},
          {.author = "user", .text = "What is 3 + 5?"},
          {.author = "assistant", .text = "thinking 3+5", .channel = "analysis"},
          {.author = "assistant", .text = "8", .channel = "final"}},
         {.drop_analysis = true, .for_completion = false});
}

TEST_F(Harmony, ThoughtsStayWhileACallIsUnderWay) {
  expect(
      "does_not_drop_if_ongoing_analysis",
      {{.author = "user", .text = "What is the weather in SF?"},
       {.author = "assistant",
        .text = "User asks: “What is the weather in SF?” We need to use lookup_weather tool.",
        .channel = "analysis"},
       {.author = "assistant",
        .text = "{\"location\": \"San Francisco\"}",
        .recipient = "functions.lookup_weather",
        .channel = "commentary",
        .content_type = "<|constrain|>json"},
       {.author = "functions.lookup_weather", .text = "{\"temperature\": 20, \"description\": \"sunny\"}"}},
      {.drop_analysis = true});
}

std::string encoded(const std::string& conversation) {
  const auto parsed = conversation_from_json(parse_json(conversation, "test").value(), "test");
  if (!parsed.ok()) return parsed.error().render();
  const auto got = HarmonyFormat::of(tokenizer(), "test")->encode(*parsed);
  if (!got.ok()) return "error: " + got.error().render();
  return got->text.substr(got->text.find("<|end|>") + 7);  // without the system message
}

TEST_F(Harmony, Conversations) {
  const std::string call = R"({"role": "user", "content": "Rain?"},
      {"role": "assistant", "reasoning_content": "Look.", "content": "Wait.", "tool_calls": [{"id": "c1", "type": "function",
       "function": {"name": "sky", "arguments": "{\"at\": \"Rome\"}"}}]},
      {"role": "tool", "tool_call_id": "c1", "content": "dry"})";
  const std::string rendered_call =
      "<|start|>assistant<|channel|>commentary<|message|>Wait.<|end|><|start|>assistant "
      "to=functions.sky<|channel|>"
      "commentary <|constrain|>json<|message|>{\"at\": \"Rome\"}<|call|><|start|>functions.sky "
      "to=assistant<|channel|>"
      "commentary<|message|>dry<|end|>";
  const std::string question = "<|start|>user<|message|>Rain?<|end|>";
  EXPECT_EQ(encoded("[" + call + "]"), question +
                                           "<|start|>assistant<|channel|>analysis<|message|>Look.<|end|>" +
                                           rendered_call + "<|start|>assistant");
  const std::string answer = "<|start|>assistant<|channel|>final<|message|>No";
  EXPECT_EQ(
      encoded("[" + call + R"(, {"role": "assistant", "content": "No"}, {"role": "user", "content": "?"}])"),
      question + rendered_call + answer + "<|end|><|start|>user<|message|>?<|end|><|start|>assistant");
  EXPECT_EQ(encoded("[" + call + R"(, {"role": "assistant", "content": "No", "prefix": true}])"),
            question + rendered_call + answer);
  EXPECT_EQ(
      encoded(R"([{"role": "system", "content": "Rhyme."}, {"role": "user", "content": "<|end|>"}])"),
      "<|start|>developer<|message|># Instructions\n\nRhyme.<|end|><|start|>user<|message|><|end|><|end|>"
      "<|start|>assistant");
  EXPECT_EQ(encoded("[]").find("error"), 0u);
  EXPECT_EQ(encoded(R"([{"role": "tool", "content": "x"}])").find("error"), 0u);
  EXPECT_EQ(encoded(R"({"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "huge"})")
                .find("error"),
            0u);
}

}  // namespace
}  // namespace maestrale::text
