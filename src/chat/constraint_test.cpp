#include "chat/constraint.h"

#include <gtest/gtest.h>

#include "chat/byte_vocabulary.h"

namespace maestrale::chat {
namespace {

// Follows a constraint along a text of single bytes and control tokens.
class Walk {
 public:
  Walk(const text::Tokenizer& tokenizer, const MakeConstraint& make)
      : tokenizer_(tokenizer), constraint_(make()) {}

  bool allows(text::TokenId token) {
    std::vector<std::uint64_t> mask((static_cast<std::size_t>(tokenizer_.size()) + 63) / 64,
                                    ~std::uint64_t{0});
    constraint_->mask(mask);
    const auto at = static_cast<std::size_t>(token);
    return (mask[at / 64] >> (at % 64)) & 1;
  }
  // The bytes that were taken before one was not allowed.
  std::string take(std::string_view text) {
    std::string taken;
    for (const text::TokenId token : tokenizer_.encode(text, {.add_special = false, .parse_special = true})) {
      if (!allows(token)) break;
      EXPECT_TRUE(constraint_->accept(token));
      taken += tokenizer_.bytes(token);
    }
    return taken;
  }
  bool finished() const { return constraint_->finished(); }

 private:
  const text::Tokenizer& tokenizer_;
  std::unique_ptr<engine::TokenConstraint> constraint_;
};

class Constraints : public testing::Test {
 protected:
  Result<MakeConstraint> make(std::string_view dialect, const ChatRequest& request,
                              TurnStart start = TurnStart::kNew, std::string begun = {}) {
    return chat_constraint({.tokenizer = tokenizer_.get(),
                            .dialect = find_dialect(dialect),
                            .grammars = &grammars_,
                            .start = start,
                            .begun = std::move(begun)},
                           request);
  }
  static json::object function(const char* name, bool strict) {
    json::object function{
        {"name", name},
        {"parameters", parse_json(R"({"type":"object","properties":{"a":{"type":"integer"}},)"
                                  R"("required":["a"],"additionalProperties":false})",
                                  "test")
                           .value()}};
    if (strict) function["strict"] = true;
    return {{"type", "function"}, {"function", std::move(function)}};
  }
  static ChatRequest with_tools(ToolChoice::Kind kind, bool strict = false) {
    ChatRequest request;
    request.tools.push_back(function("f", strict));
    request.tools.push_back(function("fg", strict));
    request.tool_choice.kind = kind;
    return request;
  }

  text::TokenizerPtr tokenizer_ = bytes_and({"[TOOL_CALLS]", "[ARGS]", "<think>", "</think>"});
  Grammars grammars_{*tokenizer_};
};

TEST_F(Constraints, NothingAskedNothingHeld) {
  EXPECT_FALSE(make("hermes", {}).value());
  EXPECT_FALSE(make("hermes", with_tools(ToolChoice::Kind::kAuto)).value());
}

TEST_F(Constraints, AForcedCallInEveryFrame) {
  const std::pair<const char*, const char*> cases[] = {
      {"hermes", "<tool_call>\n{\"name\": \"fg\", \"arguments\": {\"a\":12}}\n</tool_call>"},
      {"mistral", "[TOOL_CALLS]fg[ARGS]{\"a\":12}"},
      {"deepseek",
       "<｜tool▁call▁begin｜>function<｜tool▁sep｜>fg\n```json\n{\"a\":12}\n```<｜tool▁call▁end｜>"},
      {"llama3", "{\"name\": \"f\", \"parameters\": {\"a\":-3}}"},
  };
  for (const auto& [dialect, text] : cases) {
    const auto made = make(dialect, with_tools(ToolChoice::Kind::kRequired));
    ASSERT_TRUE(made.ok()) << made.error().render();
    Walk walk(*tokenizer_, *made);
    EXPECT_FALSE(walk.allows('x'));
    EXPECT_EQ(walk.take(text), text);
    EXPECT_TRUE(walk.finished()) << dialect;
  }
}

TEST_F(Constraints, ANamedCallTakesNoOtherName) {
  ChatRequest request = with_tools(ToolChoice::Kind::kNamed);
  request.tool_choice.name = "fg";
  Walk walk(*tokenizer_, make("mistral", request).value());
  EXPECT_EQ(walk.take("[TOOL_CALLS]f[ARGS]"), "[TOOL_CALLS]f");
  EXPECT_EQ(walk.take("g[ARGS]{\"b\""), "g[ARGS]{\"");
}

TEST_F(Constraints, StrictCallsAreHeldFromTheirMarkOn) {
  Walk walk(*tokenizer_, make("mistral", with_tools(ToolChoice::Kind::kAuto, true)).value());
  EXPECT_EQ(walk.take("some text [TOOL_CALLS]fx"), "some text [TOOL_CALLS]f");
  EXPECT_EQ(walk.take("[ARGS]{\"a\":1}and text"), "[ARGS]{\"a\":1}and text");
  EXPECT_FALSE(walk.finished());
}

TEST_F(Constraints, AShapeBeginsAfterTheThoughts) {
  ChatRequest request;
  request.common.shape = {.kind = OutputShape::Kind::kChoice, .choices = {"yes", "no"}};
  const auto made = make("hermes", request);
  ASSERT_TRUE(made.ok()) << made.error().render();
  Walk direct(*tokenizer_, *made);
  EXPECT_EQ(direct.take("nope"), "no");
  EXPECT_TRUE(direct.finished());
  Walk thinking(*tokenizer_, *made);
  EXPECT_EQ(thinking.take("<think>anything at all</think>yesx"), "<think>anything at all</think>yes");
  Walk opened(*tokenizer_, make("hermes", request, TurnStart::kReasoning).value());
  EXPECT_EQ(opened.take("thoughts</think>x"), "thoughts</think>");
}

TEST_F(Constraints, ABudgetEndsTheThoughts) {
  ChatRequest request;
  request.reasoning_budget = 3;
  Walk walk(*tokenizer_, make("hermes", request, TurnStart::kReasoning).value());
  EXPECT_EQ(walk.take("abcd"), "abc");
  EXPECT_EQ(walk.take("</think>free text"), "</think>free text");
}

TEST_F(Constraints, AShapeGoesOnWithWhatHasBegun) {
  ChatRequest request;
  request.common.shape = {.kind = OutputShape::Kind::kChoice, .choices = {"yes", "yesterday"}};
  Walk walk(*tokenizer_, make("hermes", request, TurnStart::kText, "yest").value());
  EXPECT_FALSE(walk.allows('y'));
  EXPECT_EQ(walk.take("erday"), "erday");
  const auto other = make("hermes", request, TurnStart::kText, "no");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().where, "response_format");
}

TEST_F(Constraints, CallsOrTextOfAShape) {
  ChatRequest request = with_tools(ToolChoice::Kind::kAuto);
  request.common.shape.kind = OutputShape::Kind::kJsonObject;
  const std::pair<const char*, const char*> cases[] = {
      {"hermes", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":1}}\n</tool_call>"},
      {"mistral", "[TOOL_CALLS]fg[ARGS]{\"a\":2}"},
      {"deepseek",
       "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\":3}\n```<｜tool▁call▁end｜>"},
  };
  for (const auto& [dialect, call] : cases) {
    const std::string separator = std::string(dialect) == "mistral" ? "" : "\n";
    const std::string two = call + separator + call;
    const auto made = make(dialect, request);
    ASSERT_TRUE(made.ok()) << made.error().render();
    Walk calls(*tokenizer_, *made);
    EXPECT_EQ(calls.take(two + "{}"), two) << dialect;
    EXPECT_FALSE(calls.finished());
    Walk text(*tokenizer_, *made);
    EXPECT_EQ(text.take("{\"b\": 1}" + separator + call), "{\"b\": 1}") << dialect;
    EXPECT_TRUE(text.finished());
    EXPECT_FALSE(Walk(*tokenizer_, *made).allows('I'));
    request.parallel_calls = false;
    Walk one(*tokenizer_, make(dialect, request).value());
    EXPECT_EQ(one.take(two), call) << dialect;
    EXPECT_TRUE(one.finished());
    request.parallel_calls = true;
  }
  Walk thinking(*tokenizer_, make("hermes", request).value());
  EXPECT_EQ(thinking.take("<think>hm</think>{}x"), "<think>hm</think>{}");
  for (const char* dialect : {"harmony", "gemma"}) {  // harmony: not with this vocabulary
    const auto refused = make(dialect, request);
    ASSERT_FALSE(refused.ok()) << dialect;
    EXPECT_EQ(refused.error().where, "response_format");
  }
  request.common.shape = {.kind = OutputShape::Kind::kRegex, .source = "<.*>"};
  EXPECT_FALSE(make("hermes", request).ok());  // which would it be?
  request.tool_choice.kind = ToolChoice::Kind::kRequired;
  Walk forced(*tokenizer_, make("hermes", request).value());
  EXPECT_EQ(forced.take(cases[0].second), cases[0].second);
}

TEST_F(Constraints, CallsThatBeginAsAnyTextBesideAShape) {
  const std::string call = R"({"name": "fg", "parameters": {"a": 1}})";
  ChatRequest request = with_tools(ToolChoice::Kind::kAuto);
  request.common.shape.kind = OutputShape::Kind::kJsonObject;
  const auto made = make("llama3", request);
  ASSERT_TRUE(made.ok()) << made.error().render();
  Walk two(*tokenizer_, *made);
  EXPECT_EQ(two.take(call + "; " + call + "x"), call + "; " + call);
  for (const char* text : {R"({"b": 1})", R"({"name": "Bob"})", R"({"name": 1, "parameters": {"b": 1}})",
                           R"({"function": "fg", "parameters": {}})"}) {
    Walk walk(*tokenizer_, *made);
    EXPECT_EQ(walk.take(text + std::string("x")), text);
    EXPECT_TRUE(walk.finished());
  }
  // What reads as a call is one: of these tools, with their arguments.
  EXPECT_EQ(Walk(*tokenizer_, *made).take(R"({"name": "fg", "parameters": {"b)"),
            R"({"name": "fg", "parameters": {")");
  EXPECT_EQ(Walk(*tokenizer_, *made).take(R"({"name": "x", "arguments": {)"), R"({"name": "x", "arguments)");
  request.parallel_calls = false;
  EXPECT_EQ(Walk(*tokenizer_, make("llama3", request).value()).take(call + ";"), call);
  const auto shape = [&](OutputShape wanted) {
    return make("llama3", [&] {
      ChatRequest other = request;
      other.common.shape = std::move(wanted);
      return other;
    }());
  };
  using Kind = OutputShape::Kind;
  const json::value no_choice =
      parse_json(R"({"type":"object","required":["name","parameters"],"additionalProperties":false,)"
                 R"("properties":{"name":{"type":"string"},"parameters":{"type":"object"}}})",
                 "test")
          .value();
  EXPECT_EQ(shape({.kind = Kind::kJsonSchema, .schema = no_choice, .where = "w"}).error().where, "w");
  EXPECT_FALSE(shape({.kind = Kind::kRegex, .source = R"(\{"name.*)"}).ok());
  EXPECT_FALSE(shape({.kind = Kind::kChoice, .choices = {"yes", call}}).ok());
  const auto regex = shape({.kind = Kind::kRegex, .source = "<.*"});
  ASSERT_TRUE(regex.ok()) << regex.error().render();
  EXPECT_EQ(Walk(*tokenizer_, *regex).take("<|python_tag|>f()"), "<|python_tag|");
  EXPECT_TRUE(shape({.kind = Kind::kChoice, .choices = {"yes", "{}"}}).ok());
}

TEST_F(Constraints, CallsInPython) {
  ChatRequest request;
  const auto parameters = [](const char* source) { return parse_json(source, "test").value(); };
  json::object function{{"name", "f"}, {"strict", true}};
  function["parameters"] = parameters(R"({"type": "object", "properties": {"s": {"type": "string"},
      "b": {"enum": [true, null]}, "o": {"type": "object", "additionalProperties": {"type": "integer"}}},
      "required": ["s"]})");
  request.tools.push_back(json::object{{"type", "function"}, {"function", function}});
  request.tool_choice.kind = ToolChoice::Kind::kRequired;
  const auto made = make("llama4", request);
  ASSERT_TRUE(made.ok()) << made.error().render();
  for (const char* text : {R"([f(s="it's \n\u00e9 \\", b=True, o={"k": -3})])", R"([f(s="",b=None)])",
                           R"({"name": "f", "parameters": {"s": "a"}})"}) {
    Walk walk(*tokenizer_, *made);
    EXPECT_EQ(walk.take(text + std::string("x")), text);
    EXPECT_TRUE(walk.finished());
  }
  const std::pair<const char*, const char*> others[] = {{R"([f(b=True)])", R"([f()"},
                                                        {R"([f(s="a", b=true)])", R"([f(s="a", b=)"},
                                                        {R"([f(s="\/")])", R"([f(s="\)"},
                                                        {R"([f(s="\ud83d\ude00")])", R"([f(s="\ud)"},
                                                        {R"([f(s="a"), f(s="b")])", R"([f(s="a"))"}};
  for (const auto& [text, taken] : others) EXPECT_EQ(Walk(*tokenizer_, *made).take(text), taken);
  EXPECT_FALSE(Walk(*tokenizer_, make("llama3", request).value()).allows('['));
  // Names that are none in Python: only JSON is left.
  request.tools[0].at("function").as_object()["parameters"] =
      parameters(R"({"type":"object","properties":{"a b":{"type":"integer"}},"required":["a b"]})");
  EXPECT_FALSE(Walk(*tokenizer_, make("llama4", request).value()).allows('['));
}

TEST_F(Constraints, CallsWithStringsBetweenControlTokens) {
  const auto tokenizer =
      bytes_and({"<|tool_call>", "<tool_call|>", "<|\"|>", "<|channel>", "<channel|>", "<end_of_turn>"});
  Grammars grammars(*tokenizer);
  const auto make_with = [&](const ChatRequest& request) {
    return chat_constraint(
        {.tokenizer = tokenizer.get(), .dialect = find_dialect("gemma4"), .grammars = &grammars}, request);
  };
  const std::string call = "<|tool_call>call:fg{a:12}<tool_call|>";
  Walk forced(*tokenizer, make_with(with_tools(ToolChoice::Kind::kRequired)).value());
  EXPECT_EQ(forced.take(call + call), call);
  EXPECT_TRUE(forced.finished());
  ChatRequest request = with_tools(ToolChoice::Kind::kAuto, true);
  const std::string text = "<|channel>thought<channel|>Words. " + call + " and " + call;
  EXPECT_EQ(Walk(*tokenizer, make_with(request).value()).take(text), text);
  EXPECT_EQ(Walk(*tokenizer, make_with(request).value()).take("<|tool_call>call:f{b"), "<|tool_call>call:f{");
  request.common.shape = {.kind = OutputShape::Kind::kChoice, .choices = {"yes", "no"}};
  EXPECT_EQ(Walk(*tokenizer, make_with(request).value()).take(call + call + "yes"), call + call);
  EXPECT_EQ(Walk(*tokenizer, make_with(request).value()).take("yes" + call), "yes");
  json::object& function = request.tools[0].at("function").as_object();
  function["parameters"] =
      parse_json(R"({"type":"object","properties":{"a:b":{"type":"integer"}}})", "test").value();
  EXPECT_EQ(make_with(request).error().where.substr(0, 8), "tools[0]");
}

// A shape that could spell the mark of a call inside is kept from it: the reader would take it for one.
TEST_F(Constraints, TextOfAShapeHasNoMark) {
  ChatRequest request = with_tools(ToolChoice::Kind::kAuto);
  request.common.shape = {.kind = OutputShape::Kind::kRegex, .source = "x[^!]*!"};
  const auto plain = bytes_and({"<|end|>"});  // marks are spelled by bytes
  Grammars grammars(*plain);
  const std::pair<const char*, std::string> cases[] = {{"hermes", "x<tool> <tool_call>"},
                                                       {"mistral", "x[TOOL_] [TOOL_CALLS]"},
                                                       {"deepseek", "x<｜tool▁calls> <｜tool▁call▁begin｜>"}};
  for (const auto& [dialect, marked] : cases) {
    const auto made = chat_constraint(
        {.tokenizer = plain.get(), .dialect = find_dialect(dialect), .grammars = &grammars}, request);
    ASSERT_TRUE(made.ok()) << dialect << ": " << made.error().render();
    Walk text(*plain, *made);
    EXPECT_EQ(text.take(marked + "!"), marked.substr(0, marked.size() - 1)) << dialect;
    EXPECT_EQ(text.take("!"), "!");
    EXPECT_TRUE(text.finished());
    ChatRequest choice = with_tools(ToolChoice::Kind::kAuto);
    choice.common.shape = {.kind = OutputShape::Kind::kChoice, .choices = {"yes", marked}};
    const auto refused = chat_constraint(
        {.tokenizer = plain.get(), .dialect = find_dialect(dialect), .grammars = &grammars}, choice);
    ASSERT_FALSE(refused.ok()) << dialect;
    EXPECT_EQ(refused.error().found, marked);
    EXPECT_EQ(refused.error().where, "response_format");
  }
}

// A token that ends the mark and goes on cannot be taken where it would begin a call; elsewhere it can.
TEST_F(Constraints, NoTokenLeapsOverTheBeginningOfAStrictCall) {
  struct Case {
    const char* dialect;
    std::string begun, rest;  // a mark
  };
  for (const Case& one : {Case{"hermes", "<tool_", "call>"}, Case{"mistral", "[TOOL_", "CALLS]"},
                          Case{"deepseek", "<｜tool▁call▁", "begin｜>"}, Case{"gemma", "```tool", "_code"},
                          Case{"gemma4", "<|tool", "_call>"}}) {
    const std::string last(1, one.rest.back());
    const auto tokenizer = bytes_and({last + "\n{", one.rest + "?", "a" + one.begun + one.rest + "b"});
    const auto leap = *tokenizer->find(last + "\n{"), other = *tokenizer->find(one.rest + "?");
    const auto whole = *tokenizer->find("a" + one.begun + one.rest + "b");
    Grammars grammars(*tokenizer);
    const auto made = chat_constraint(
        {.tokenizer = tokenizer.get(), .dialect = find_dialect(one.dialect), .grammars = &grammars},
        with_tools(ToolChoice::Kind::kAuto, true));
    ASSERT_TRUE(made.ok()) << one.dialect << ": " << made.error().render();
    Walk walk(*tokenizer, *made);
    EXPECT_TRUE(walk.allows(leap)) << one.dialect;
    EXPECT_TRUE(walk.allows(other)) << one.dialect;
    EXPECT_FALSE(walk.allows(whole)) << one.dialect;
    EXPECT_EQ(walk.take("a " + one.begun), "a " + one.begun);
    EXPECT_TRUE(walk.allows(leap)) << one.dialect;
    EXPECT_FALSE(walk.allows(other)) << one.dialect;
    const std::string short_of = one.rest.substr(0, one.rest.size() - 1);
    EXPECT_EQ(walk.take(short_of), short_of);
    EXPECT_FALSE(walk.allows(leap)) << one.dialect;
    EXPECT_TRUE(walk.allows(static_cast<unsigned char>(last[0]))) << one.dialect;
    EXPECT_TRUE(walk.allows('?')) << one.dialect;
    // After the mark the call is held.
    EXPECT_EQ(walk.take(last), last);
    EXPECT_FALSE(walk.allows('?')) << one.dialect;
  }
}

TEST_F(Constraints, StrictCallsThatBeginAsAnyText) {
  const auto tokenizer = bytes_and({"<|eot_id|>", "<|python_tag|>"});
  Grammars grammars(*tokenizer);
  const auto made = chat_constraint(
      {.tokenizer = tokenizer.get(), .dialect = find_dialect("llama3"), .grammars = &grammars},
      with_tools(ToolChoice::Kind::kAuto, true));
  ASSERT_TRUE(made.ok()) << made.error().render();
  const std::string call = R"({"name": "f", "parameters": {"a": 1}})";
  for (const std::string& text :
       {std::string(R"(Text with {"name": "x"} and [f()])"), std::string(R"({"b": "name"})"),
        call + "; " + call, "<|python_tag|>" + call, "So: <|python_tag|>" + call})
    EXPECT_EQ(Walk(*tokenizer, *made).take(text), text);
  EXPECT_EQ(Walk(*tokenizer, *made).take(R"({"name": "x")"), R"({"name": ")");
  EXPECT_EQ(Walk(*tokenizer, *made).take(R"(<|python_tag|>f())"), "<|python_tag|>");
  EXPECT_EQ(Walk(*tokenizer, *made).take("[f(a=1)]"), "[f");
}

class HarmonyConstraints : public Constraints {
 protected:
  MakeConstraint made(const ChatRequest& request, TurnStart start = TurnStart::kNew) {
    const ConstraintPlan plan{.tokenizer = harmony_.get(),
                              .dialect = find_dialect("harmony"),
                              .grammars = &messages_,
                              .start = start};
    return chat_constraint(plan, request).value();
  }
  std::string taken(const MakeConstraint& make, const std::string& text) {
    return Walk(*harmony_, make).take(text);
  }

  text::TokenizerPtr harmony_ = bytes_and({"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>",
                                           "<|end|>", "<|call|>", "<|return|>", "<|endoftext|>"});
  Grammars messages_{*harmony_};
  const std::string thoughts_ = "<|channel|>analysis<|message|>hm {<|end|><|start|>assistant";
  const std::string final_ = "<|channel|>final<|message|>";
  const std::string call_ = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\":1}";
};

TEST_F(HarmonyConstraints, AForcedCallComesAfterThoughts) {
  const MakeConstraint make = made(with_tools(ToolChoice::Kind::kRequired));
  for (const std::string& call :
       {call_, std::string(" to=functions.fg<|channel|>commentary json<|message|>{\"a\":1}"),
        std::string("<|channel|>commentary to=functions.fg<|message|>{\"a\":1}")}) {
    for (const std::string& text : {call, thoughts_ + call, thoughts_ + thoughts_ + call}) {
      Walk walk(*harmony_, make);
      EXPECT_EQ(walk.take(text + "x"), text);
      EXPECT_TRUE(walk.finished());
    }
  }
  EXPECT_EQ(taken(make, final_), "<|channel|>");
  EXPECT_EQ(taken(make, "<|channel|>commentary<|message|>"), "<|channel|>commentary");
  EXPECT_EQ(taken(make, "<|channel|>commentary to=functions.x"), "<|channel|>commentary to=functions.");
  EXPECT_EQ(taken(make, "<|channel|>analysis<|message|>a<|return|>"), "<|channel|>analysis<|message|>a");
}

TEST_F(HarmonyConstraints, StrictCallsAmongOtherMessages) {
  const MakeConstraint make = made(with_tools(ToolChoice::Kind::kAuto, true));
  const std::string preamble = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant";
  for (const std::string& text : {thoughts_ + preamble + call_, final_ + "a < b <| {<|return|>"})
    EXPECT_EQ(taken(make, text), text);
  EXPECT_EQ(taken(make, "<|channel|>commentary to=functions.f<|message|>{\"b"),
            "<|channel|>commentary to=functions.f<|message|>{\"");
  // Marks that are spelled out would be read as marks.
  Walk spelled(*harmony_, make);
  EXPECT_EQ(spelled.take(final_ + "<|start|"), final_ + "<|start|");
  EXPECT_FALSE(spelled.allows('>'));
}

TEST_F(HarmonyConstraints, AShapeIsForTheFinalMessage) {
  ChatRequest request = with_tools(ToolChoice::Kind::kAuto);
  request.common.shape = {.kind = OutputShape::Kind::kChoice, .choices = {"yes", "no"}};
  for (const std::string& text : {thoughts_ + final_ + "yes", thoughts_ + call_})
    EXPECT_EQ(taken(made(request), text), text);
  EXPECT_EQ(taken(made(request), final_ + "maybe"), final_);
  EXPECT_EQ(taken(made(request), "<|channel|>commentary<|message|>"), "<|channel|>commentary");
  EXPECT_EQ(taken(made(request, TurnStart::kText), "nope"), "no");
  request.tools.clear();
  EXPECT_EQ(taken(made(request), "<|channel|>commentary"), "<|channel|>");
}

TEST_F(HarmonyConstraints, ABudgetIsForTheThoughts) {
  ChatRequest request = with_tools(ToolChoice::Kind::kRequired);
  request.reasoning_budget = 3;
  const std::string analysis = "<|channel|>analysis<|message|>";
  const std::string next = "<|end|><|start|>assistant";
  EXPECT_EQ(taken(made(request), analysis + "abcd"), analysis + "abc");
  EXPECT_EQ(taken(made(request), analysis + "abc" + next + call_), analysis + "abc" + next + call_);
  EXPECT_EQ(taken(made(request), analysis + "ab" + next + analysis + "cd"),
            analysis + "ab" + next + analysis + "c");
  EXPECT_EQ(taken(made(request), analysis + "abc" + next + analysis),
            analysis + "abc" + next + "<|channel|>");
  request.reasoning_budget = 0;
  EXPECT_EQ(taken(made(request), analysis), "<|channel|>");
  request.tool_choice.kind = ToolChoice::Kind::kAuto;
  EXPECT_EQ(taken(made(request), final_ + "free text"), final_ + "free text");
}

TEST_F(Constraints, RefusesByName) {
  ChatRequest request;
  request.common.shape = {
      .kind = OutputShape::Kind::kJsonSchema, .schema = json::object{{"type", "wonder"}}, .where = "field"};
  const auto made = make("hermes", request);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().where.substr(0, 5), "field");
  EXPECT_EQ(make("plain", with_tools(ToolChoice::Kind::kRequired)).error().where, "tool_choice");
}

}  // namespace
}  // namespace maestrale::chat
