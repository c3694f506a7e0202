// Every case is read at once, cut in two at every byte, and byte by byte: the events must be the same.
#include "chat/turn_parser.h"

#include <gtest/gtest.h>

namespace maestrale::chat {
namespace {

// "r:thoughts", "t:text", "c:name id arguments", one line each.
std::string show(const std::vector<Event>& events) {
  std::string out;
  for (const Event& event : events) {
    switch (event.kind) {
      case Event::Kind::kText:
        out += "t:" + event.text + "\n";
        break;
      case Event::Kind::kReasoning:
        out += "r:" + event.text + "\n";
        break;
      case Event::Kind::kCallStart:
        out += "c:" + event.text + " " + event.id + " ";
        break;
      case Event::Kind::kCallArguments:
        out += event.text;
        break;
      case Event::Kind::kCallEnd:
        out += "\n";
        break;
    }
  }
  return out;
}

std::vector<Event> events_of(const Dialect& dialect, TurnStart start,
                             const std::vector<std::string_view>& pieces) {
  const auto parser = make_turn_parser(dialect, start);
  std::vector<Event> events, joined;
  for (const std::string_view piece : pieces) parser->push(piece, events);
  parser->finish(events);
  for (Event& event : events) add_event(joined, std::move(event));
  return joined;
}

struct Case {
  const char* dialect;
  std::string text;
  std::string expected;
  TurnStart start = TurnStart::kNew;
};

class Turns : public testing::TestWithParam<Case> {};

TEST_P(Turns, AreTheSameWhereverTheTextIsCut) {
  const Case& c = GetParam();
  const Dialect* dialect = find_dialect(c.dialect);
  ASSERT_NE(dialect, nullptr);
  const std::string_view text = c.text;
  EXPECT_EQ(show(events_of(*dialect, c.start, {text})), c.expected);
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    EXPECT_EQ(show(events_of(*dialect, c.start, {text.substr(0, cut), text.substr(cut)})), c.expected)
        << "cut at " << cut;
  }
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < text.size(); ++i) bytes.push_back(text.substr(i, 1));
  EXPECT_EQ(show(events_of(*dialect, c.start, bytes)), c.expected) << "byte by byte";
}

INSTANTIATE_TEST_SUITE_P(
    Plain, Turns,
    testing::Values(Case{"plain", "", ""}, Case{"plain", "Hello", "t:Hello\n"},
                    Case{"plain", " \n ", "t: \n \n"}, Case{"plain", "  two blanks", "t:  two blanks\n"},
                    Case{"plain", "<think>\na b\n</think>\n\nc\n", "r:a b\nt:c\n\n"},
                    Case{"plain", "\n<think>a</think>c", "r:a\nt:c\n"},
                    Case{"plain", "say <think>a</think>", "t:say <think>a</think>\n"},
                    Case{"plain", "<think>never closed", "r:never closed\n"},
                    Case{"plain", "<think>half </thi", "r:half </thi\n"}, Case{"plain", "<thin", "t:<thin\n"},
                    Case{"plain", "<think></think>x", "t:x\n"},
                    Case{"plain", "è <tool_call>", "t:è <tool_call>\n"},
                    Case{"plain", "a\n\nb</think>\nc", "r:a\n\nb\nt:c\n", TurnStart::kReasoning},
                    Case{"plain", "only thoughts", "r:only thoughts\n", TurnStart::kReasoning},
                    Case{"plain", "<think>is text", "t:<think>is text\n", TurnStart::kText},
                    Case{"llama3", "{\"name\": \"f\"}", "t:{\"name\": \"f\"}\n", TurnStart::kText},
                    Case{"harmony", " and on", "t: and on\n", TurnStart::kText}));

INSTANTIATE_TEST_SUITE_P(
    Mistral, Turns,
    testing::Values(
        Case{"mistral", "[THINK]hm[/THINK]ok[THINK]more[/THINK] go", "r:hm\nt:ok\nr:more\nt:go\n"},
        Case{"mistral", R"([TOOL_CALLS] [{"name": "f", "arguments": {"a": [1, "]"]}, "id": "abcdefghi"}])",
             "c:f abcdefghi {\"a\": [1, \"]\"]}\n"},
        Case{"mistral", R"([TOOL_CALLS][{"name":"f","arguments":{}},{"name":"g","arguments":"{\"x\":1}"}])",
             "c:f  {}\nc:g  {\"x\":1}\n"},
        Case{"mistral", R"(wait[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS]{})",
             "t:wait\nc:f 123456789 {\"a\": 1}\nc:g  {}\n"},
        Case{"mistral", R"([TOOL_CALLS]f[ARGS]{"n": 123456789012345678901234567890})",
             "c:f  {\"n\": 123456789012345678901234567890}\n"},
        Case{"mistral", R"([TOOL_CALLS]f[ARGS]{"a": "}\"{"} done)", "c:f  {\"a\": \"}\\\"{\"}\nt:done\n"},
        Case{"mistral", "[TOOL_CALLS]f[ARGS]{broken}", "t:[TOOL_CALLS]f[ARGS]{broken}\n"},
        Case{"mistral", "[TOOL_CALLS]f[ARGS]no json", "t:[TOOL_CALLS]f[ARGS]no json\n"},
        Case{"mistral", "[TOOL_CALLS]f[ARGS]no[TOOL_CALLS]g[ARGS]{}", "t:[TOOL_CALLS]f[ARGS]no\nc:g  {}\n"},
        Case{"mistral", "[TOOL_CALLS]f[TOOL_CALLS]g[ARGS]{}", "t:[TOOL_CALLS]f\nc:g  {}\n"},
        Case{"mistral", "[TOOL_CALLS]f[ARGS]{\"cut", "t:[TOOL_CALLS]f[ARGS]{\"cut\n"},
        Case{"mistral", "[TOOL_CALLS]", "t:[TOOL_CALLS]\n"},
        Case{"mistral", "[TOOL_CALLS]f", "t:[TOOL_CALLS]f\n"},
        Case{"mistral", "[TOOL_CALLS] [1, 2] and so on", "t:[TOOL_CALLS] [1, 2] and so on\n"},
        Case{"mistral", "[TOOL_CALLS] [{\"name\": \"f\"", "t:[TOOL_CALLS] [{\"name\": \"f\"\n"},
        Case{"mistral", "a [TOOL box]", "t:a [TOOL box]\n"}));

INSTANTIATE_TEST_SUITE_P(
    Hermes, Turns,
    testing::Values(
        Case{
            "hermes",
            "<think>\nx\n</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>",
            "r:x\nc:f  {\"a\": 1}\n"},
        Case{"hermes",
             "I look.\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n<tool_call>\n{\"name\": "
             "\"g\", "
             "\"arguments\": {\"s\": \"</tool_call>\"}}\n</tool_call>\nDone",
             "t:I look.\n\nc:f  {}\nc:g  {\"s\": \"</tool_call>\"}\nt:Done\n"},
        Case{"hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {}}", "c:f  {}\n"},
        Case{"hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {}} then text", "c:f  {}\nt:then text\n"},
        Case{"hermes", "<tool_call>{not json}</tool_call> sorry",
             "t:<tool_call>{not json}</tool_call> sorry\n"},
        Case{"hermes", "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>",
             "t:<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>\n"},
        Case{"hermes", "<tool_call>maybe", "t:<tool_call>maybe\n"},
        Case{"hermes", "<tool_call>", "t:<tool_call>\n"},
        Case{"hermes",
             "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nline\nline\n</"
             "parameter>\n"
             "</function>\n</tool_call>",
             "c:f  {\"a\": 1, \"b\": \"line\\nline\"}\n"},
        Case{"hermes", "<tool_call><function=f></function></tool_call>", "c:f  {}\n"},
        Case{"hermes", "<tool_call><function=f><parameter=a>1</tool_call>",
             "t:<tool_call><function=f><parameter=a>1</tool_call>\n"}));

INSTANTIATE_TEST_SUITE_P(
    Llama, Turns,
    testing::Values(
        Case{"llama3", R"({"name": "f", "parameters": {"a": "b"}})", "c:f  {\"a\": \"b\"}\n"},
        Case{"llama3",
             R"( {"type": "function", "name": "f", "parameters": {}}; {"name": "g", "parameters": {}})",
             "c:f  {}\nc:g  {}\n"},
        Case{"llama3", R"(<|python_tag|>{"name": "f", "parameters": {"a": 1}})", "c:f  {\"a\": 1}\n"},
        Case{"llama3", R"(<|python_tag|>brave_search.call(query="who's there?"))",
             "c:brave_search  {\"query\": \"who's there?\"}\n"},
        Case{"llama3", "<|python_tag|>print(1)", "t:<|python_tag|>print(1)\n"},
        Case{"llama3", R"({"answer": 42})", "t:{\"answer\": 42}\n"},
        Case{"llama3", R"({"name": "Bob"})", "t:{\"name\": \"Bob\"}\n"},
        Case{"llama3", R"(Here: {"name": "f", "parameters": {}})",
             "t:Here: {\"name\": \"f\", \"parameters\": {}}\n"},
        Case{"llama3", R"({"name": "f", "parameters": {)", "t:{\"name\": \"f\", \"parameters\": {\n"},
        Case{"llama3", "{", "t:{\n"},
        Case{"llama3", "[f(a=1, b='x'), g()]", "c:f  {\"a\": 1, \"b\": \"x\"}\nc:g  {}\n"},
        Case{"llama3", "[1, 2]", "t:[1, 2]\n"}, Case{"llama3", "[link](there)", "t:[link](there)\n"},
        Case{"llama4", R"([a.b(l=[1, -2.5, (3,)], d={'k': None, "m": True}, s="é\n\x41\q")])",
             "c:a.b  {\"l\": [1, -2.5, [3]], \"d\": {\"k\": null, \"m\": true}, \"s\": \"é\\nA\\\\q\"}\n"},
        Case{"llama4", "[f(x)]", "t:[f(x)]\n"}, Case{"llama4", "[f(a=1)", "t:[f(a=1)\n"},
        Case{"llama4", "<|python_start|>[f(a=']')]<|python_end|>", "c:f  {\"a\": \"]\"}\n"}));

const std::string kDeepSeekOpen = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>";
const std::string kDeepSeekClose = "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

INSTANTIATE_TEST_SUITE_P(
    DeepSeek, Turns,
    testing::Values(Case{"deepseek",
                         "hm\n</think>\n\nLook." + kDeepSeekOpen +
                             "function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```" + kDeepSeekClose,
                         "r:hm\nt:Look.\nc:f  {\"a\": 1}\n", TurnStart::kReasoning},
                    Case{"deepseek",
                         kDeepSeekOpen +
                             "f<｜tool▁sep｜>{\"a\": \"```\"}<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>g"
                             "<｜tool▁sep｜>{}" +
                             kDeepSeekClose,
                         "c:f  {\"a\": \"```\"}\nc:g  {}\n"},
                    Case{"deepseek", kDeepSeekOpen + "f<｜tool▁sep｜>{\"a\": 1}", "c:f  {\"a\": 1}\n"},
                    Case{"deepseek", kDeepSeekOpen + "f<｜tool▁sep｜>oops" + kDeepSeekClose,
                         "t:<｜tool▁call▁begin｜>f<｜tool▁sep｜>oops<｜tool▁call▁end｜>\n"},
                    Case{"deepseek", kDeepSeekOpen + "f", "t:<｜tool▁call▁begin｜>f\n"},
                    Case{"deepseek", "a <｜tool", "t:a <｜tool\n"}));

const std::string kDsmlOpen = "\n\n<｜DSML｜function_calls>\n", kDsmlClose = "</｜DSML｜function_calls>";
const std::string kDsmlInvoke = "<｜DSML｜invoke name=\"f\">\n";
std::string parameter(const std::string& attributes, const std::string& value) {
  return "<｜DSML｜parameter " + attributes + ">" + value + "</｜DSML｜parameter>\n";
}
const std::string kText = parameter("name=\"a\" string=\"true\"", "two\nlines \"<b>\"");
const std::string kNumber = parameter("name=\"b\" string=\"false\"", "[1, {\"c\": 2.50}]");
const std::string kBroken = parameter("name=\"a\" string=\"false\"", "no json");
const std::string kBare = parameter("name=\"a\"", "1");
const std::string kInvokeEnd = "</｜DSML｜invoke>\n";

INSTANTIATE_TEST_SUITE_P(
    DeepSeekMarkup, Turns,
    testing::Values(
        Case{"deepseek",
             "hm\n</think>Look." + kDsmlOpen + kDsmlInvoke + kText + kNumber + kInvokeEnd + kDsmlClose,
             "r:hm\nt:Look.\n\n\nc:f  {\"a\": \"two\\nlines \\\"<b>\\\"\", \"b\": [1, {\"c\": 2.50}]}\n",
             TurnStart::kReasoning},
        Case{"deepseek",
             kDsmlOpen + kDsmlInvoke + kInvokeEnd + kDsmlInvoke + kNumber + kInvokeEnd + kDsmlClose,
             "c:f  {}\nc:f  {\"b\": [1, {\"c\": 2.50}]}\n"},
        Case{"deepseek", kDsmlOpen + kDsmlInvoke + kBroken + kInvokeEnd + kDsmlClose + " so",
             "t:" + kDsmlInvoke + kBroken + "</｜DSML｜invoke>\nso\n"},
        Case{"deepseek", kDsmlInvoke + kBare + "</｜DSML｜invoke>",
             "t:" + kDsmlInvoke + kBare + "</｜DSML｜invoke>\n"},
        Case{"deepseek", kDsmlInvoke + kNumber, "t:" + kDsmlInvoke + kNumber + "\n"},
        Case{"deepseek", "<｜DSML｜invoke>x</｜DSML｜invoke>", "t:<｜DSML｜invoke>x</｜DSML｜invoke>\n"},
        Case{"deepseek", "a <｜DSML｜inv", "t:a <｜DSML｜inv\n"}));

INSTANTIATE_TEST_SUITE_P(
    Gemma, Turns,
    testing::Values(
        Case{"gemma", "Sure.\n```tool_code\nprint(f(a=\"x\"))\n```\n", "t:Sure.\n\nc:f  {\"a\": \"x\"}\n"},
        Case{"gemma", "```tool_code\nf(a=\"a\\\"```\")\n``` so", "c:f  {\"a\": \"a\\\"```\"}\nt:so\n"},
        Case{"gemma", "```tool_code\nx  # don't\n``` so", "t:```tool_code\nx  # don't\n``` so\n"},
        Case{"gemma", "```tool_code\nf(a=1)\ng()\n```", "c:f  {\"a\": 1}\nc:g  {}\n"},
        Case{"gemma", "```tool_code\nimport os\n```", "t:```tool_code\nimport os\n```\n"},
        Case{"gemma", "```python\nf()\n```", "t:```python\nf()\n```\n"},
        Case{"gemma4",
             "<|channel>thought\nhm\n<channel|><|tool_call>call:f{a:<|\"|>x, "
             "{y}<|\"|>,n:{l:[1,true]}}<tool_call|>",
             "r:hm\nc:f  {\"a\": \"x, {y}\", \"n\": {\"l\": [1, true]}}\n"},
        Case{"gemma4", "<|tool_call>call:f{a:<|\"|>1 <tool_call|> 2<|\"|>}<tool_call|> so",
             "c:f  {\"a\": \"1 <tool_call|> 2\"}\nt:so\n"},
        Case{"gemma4", "<|tool_call>call:f{a:<|\"|>x}<tool_call|> so",
             "t:<|tool_call>call:f{a:<|\"|>x}<tool_call|> so\n"},
        Case{"gemma4", "<|tool_call>call:f{}<tool_call|><|tool_call>call:g{a:oops}<tool_call|>",
             "c:f  {}\nt:<|tool_call>call:g{a:oops}<tool_call|>\n"},
        Case{"function-gemma", "<start_function_call>call:f{at:<escape>Rome<escape>}<end_function_call>",
             "c:f  {\"at\": \"Rome\"}\n"}));

INSTANTIATE_TEST_SUITE_P(
    Harmony, Turns,
    testing::Values(
        Case{
            "harmony",
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
            "r:hm\nt:4\n"},
        Case{"harmony",
             "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f "
             "<|constrain|>json<|message|>{\"a\": 1}<|call|>",
             "r:hm\nc:f  {\"a\": 1}\n"},
        Case{"harmony", " to=functions.f<|channel|>commentary<|constrain|>json<|message|>{\"a\": 1}",
             "c:f  {\"a\": 1}\n"},
        Case{"harmony", "<|channel|>commentary to=browser.search code<|message|>{\"q\": 1}<|call|>",
             "c:browser.search  {\"q\": 1}\n"},
        Case{"harmony", "<|channel|>analysis to=python code<|message|>1 + \"x\"<|call|>",
             "c:python  {\"code\": \"1 + \\\"x\\\"\"}\n"},
        Case{"harmony", "<|channel|>commentary to=functions.f<|message|>no json<|call|>", "t:no json\n"},
        Case{"harmony",
             "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.f<|channel|>"
             "commentary json<|message|>{}<|call|>",
             "t:I look.\nc:f  {}\n"},
        Case{"harmony", "<|channel|>final<|message|>a < b <| c", "t:a < b <| c\n"},
        Case{"harmony", "<|channel|>analysis<|message|>no end <|en", "r:no end <|en\n"},
        Case{"harmony", "No header at all", "t:No header at all\n"},
        Case{"harmony", "<|channel|>final", "t:<|channel|>final\n"},
        Case{"harmony", "<|message|>x<|start|>assistant<|channel|>final<|message|>y<|return|>", "t:xy\n"},
        Case{"harmony", "<|channel|>final<|message|>a<|end|> lost? ", "t:alost?\n"},
        Case{"harmony", "", ""}));

TEST(TurnParserCost, GrowsWithTheText) {
  const std::string text(2'000'000, 'x');
  const std::string string = "{\"a\": \"" + text + "\"}";
  const std::pair<const char*, std::string> cases[] = {
      {"mistral", text},
      {"mistral", "[TOOL_CALLS]f[ARGS]" + string},
      {"harmony", text},
      {"harmony", "<|channel|>commentary to=functions.f<|message|>" + string},
      {"llama3", "{\"name\": \"f\", \"parameters\": " + string + "}"},
      {"deepseek", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>" + string},
      {"hermes", "<tool_call>{\"name\": \"f\", \"arguments\": " + string + "}</tool_call>"},
      {"deepseek", "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"true\">" + text +
                       "</｜DSML｜parameter></｜DSML｜invoke>"}};
  for (const auto& [name, whole] : cases) {
    const auto parser = make_turn_parser(*find_dialect(name), TurnStart::kNew);
    std::vector<Event> events;
    for (std::size_t i = 0; i < whole.size(); i += 4)
      parser->push(std::string_view(whole).substr(i, 4), events);
    parser->finish(events);
    const Turn turn = turn_of(events);
    EXPECT_EQ(turn.calls.empty() ? turn.text : turn.calls.front().arguments,
              turn.calls.empty() ? text : string)
        << name;
  }
}

}  // namespace
}  // namespace maestrale::chat
