// Random answers under the mask of a constraint, read back by the turn parser wherever they are cut: calls
// have the names of the tools and arguments that their schemas allow, texts keep their shape.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>

#include "chat/byte_vocabulary.h"
#include "chat/constraint.h"
#include "chat/turn_parser.h"
#include "grammar/validate.h"

namespace maestrale::chat {
namespace {

json::value parsed(std::string_view text) { return parse_json(text, "test").value(); }

json::object tool(const char* name, std::string_view parameters, bool strict) {
  json::object function{{"name", name}, {"parameters", parsed(parameters)}};
  if (strict) function["strict"] = true;
  return {{"type", "function"}, {"function", std::move(function)}};
}

constexpr std::string_view kPlace = R"({"type": "object", "properties": {"city": {"type": "string"},
    "days": {"type": "integer", "minimum": 1, "maximum": 14}, "unit": {"enum": ["C", "F", "it's \"K\"\\"]}},
    "required": ["city", "unit"], "additionalProperties": false})";
constexpr std::string_view kTree = R"({"type": "object", "properties": {"root": {"$ref": "#/$defs/node"},
    "flags": {"type": "array", "items": {"type": ["boolean", "null"]}, "maxItems": 3},
    "size": {"type": "number"}}, "required": ["root"], "additionalProperties": false,
    "$defs": {"node": {"type": "object", "properties": {"left": {"$ref": "#/$defs/node"},
    "word": {"type": "string", "pattern": "^[a-z ']{1,5}$"}}, "required": ["word"],
    "additionalProperties": false}}})";
constexpr std::string_view kPerson = R"({"type": "object", "properties": {"name": {"type": "string"},
    "parameters": {"type": "object"}, "age": {"type": "integer"}}, "required": ["name"],
    "additionalProperties": {"type": "integer"}})";

// One answer: tokens chosen at random among the allowed ones, such that it comes to an end.
class RandomAnswer {
 public:
  RandomAnswer(const text::Tokenizer& tokenizer, const Dialect& dialect, const MakeConstraint& make,
               std::mt19937& random)
      : tokenizer_(tokenizer),
        reader_(dialect, tokenizer, TurnStart::kNew),
        constraint_(make()),
        random_(random) {}

  // False where it did not end.
  bool write() {
    for (int step = 0; step < 3000 && !constraint_->finished(); ++step) {
      const std::vector<text::TokenId> allowed = allowed_tokens();
      EXPECT_FALSE(allowed.empty()) << "after " << written;
      if (allowed.empty()) return false;
      const text::TokenId token = choose(allowed);
      if (is_end(token)) return finish();
      EXPECT_TRUE(constraint_->accept(token)) << token << " after " << written;
      say(token);
    }
    return constraint_->finished() && finish();
  }
  std::string written;
  std::vector<Event> events;

 private:
  bool is_end(text::TokenId token) const {
    const auto ends = tokenizer_.end_tokens();
    return std::find(ends.begin(), ends.end(), token) != ends.end();
  }
  std::vector<text::TokenId> allowed_tokens() {
    std::vector<std::uint64_t> mask(static_cast<std::size_t>(tokenizer_.size()) / 64 + 1, ~std::uint64_t{0});
    constraint_->mask(mask);
    std::vector<text::TokenId> out;
    for (text::TokenId token = 0; token < tokenizer_.size(); ++token) {
      const auto at = static_cast<std::size_t>(token);
      if ((mask[at / 64] >> (at % 64) & 1) != 0) out.push_back(token);
    }
    return out;
  }
  text::TokenId choose(const std::vector<text::TokenId>& allowed) {
    std::vector<text::TokenId> ending, marks;
    for (const text::TokenId token : allowed) {
      if (is_end(token) || std::string_view("\"}])").find(static_cast<char>(token)) != std::string_view::npos)
        (token < 256 || is_end(token) ? ending : marks).push_back(token);
      if (token >= 256 && !is_end(token)) marks.push_back(token);
    }
    const auto one_of = [this](const auto& list) { return list[random_() % list.size()]; };
    if (!ending.empty() && random_() % 4 == 0) return one_of(ending);
    if (!marks.empty() && random_() % 8 == 0) return one_of(marks);
    return one_of(allowed);
  }
  void take(std::vector<Event> more) {
    for (Event& event : more) add_event(events, std::move(event));
  }
  void say(text::TokenId token) {
    written += tokenizer_.bytes(token);
    if (tokenizer_.kind(token) == text::TokenKind::kControl) {
      take(reader_.push(pending_));
      pending_.clear();
      return take(reader_.push(token, ""));
    }
    pending_ += tokenizer_.bytes(token);
    if (random_() % 2 == 0) return;
    take(reader_.push(pending_));
    pending_.clear();
  }
  bool finish() {
    take(reader_.push(pending_));
    take(reader_.finish());
    return true;
  }

  const text::Tokenizer& tokenizer_;
  TurnReader reader_;
  std::unique_ptr<engine::TokenConstraint> constraint_;
  std::mt19937& random_;
  std::string pending_;
};

struct Case {
  const char* dialect;
  std::vector<std::string> controls;
  ToolChoice::Kind choice = ToolChoice::Kind::kAuto;
  bool strict = false;
  OutputShape shape = {};
  std::int64_t budget = -1;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.dialect; }

class Walks : public testing::TestWithParam<Case> {
 protected:
  void check_call(const Call& call, const ChatRequest& request, const std::string& written) {
    const auto found = std::find_if(request.tools.begin(), request.tools.end(), [&](const json::value& one) {
      return one.at("function").at("name").as_string() == call.name;
    });
    ASSERT_NE(found, request.tools.end()) << call.name << " in " << written;
    if (request.tool_choice.kind == ToolChoice::Kind::kNamed) {
      EXPECT_EQ(call.name, request.tool_choice.name);
    }
    const auto arguments = parse_json(call.arguments, "arguments");
    ASSERT_TRUE(arguments.ok()) << call.arguments << " in " << written;
    const auto validator = grammar::Validator::make(found->at("function").at("parameters"));
    const Status valid = validator->validate(*arguments);
    EXPECT_TRUE(valid.ok()) << valid.error().render() << "\n" << written;
  }
  void check_text(const std::string& text, const OutputShape& shape) {
    const auto value = parse_json(text, "text");
    ASSERT_TRUE(value.ok()) << text;
    const json::value schema =
        shape.kind == OutputShape::Kind::kJsonObject ? json::object{{"type", "object"}} : shape.schema;
    const Status valid = grammar::Validator::make(schema)->validate(*value);
    EXPECT_TRUE(valid.ok()) << valid.error().render() << "\n" << text;
  }
};

TEST_P(Walks, EndAsCallsOrTextThatWereAskedFor) {
  const Case& c = GetParam();
  std::vector<std::string> controls = c.controls;
  const auto tokenizer = bytes_and(controls);
  Grammars grammars(*tokenizer);
  ChatRequest request;
  request.tools = {tool("place", kPlace, c.strict), tool("tree", kTree, c.strict)};
  request.tool_choice = {.kind = c.choice, .name = "tree"};
  request.common.shape = c.shape;
  request.reasoning_budget = c.budget;
  const Dialect& dialect = *find_dialect(c.dialect);
  const auto make =
      chat_constraint({.tokenizer = tokenizer.get(), .dialect = &dialect, .grammars = &grammars}, request);
  ASSERT_TRUE(make.ok()) << make.error().render();
  const bool forced = c.choice != ToolChoice::Kind::kAuto;
  std::mt19937 random(11);
  int ended = 0, with_calls = 0, with_text = 0;
  for (int round = 0; round < 150; ++round) {
    RandomAnswer answer(*tokenizer, dialect, *make, random);
    if (!answer.write()) continue;
    ++ended;
    const Turn turn = turn_of(answer.events);
    for (const Call& call : turn.calls) check_call(call, request, answer.written);
    with_calls += !turn.calls.empty();
    with_text += !turn.text.empty();
    if (forced) {
      EXPECT_EQ(turn.calls.size(), 1U) << answer.written;
      EXPECT_EQ(turn.text, "") << answer.written;
    } else if (c.shape.kind != OutputShape::Kind::kFree) {
      EXPECT_NE(turn.calls.empty(), turn.text.empty()) << answer.written;
      if (!turn.text.empty()) check_text(turn.text, c.shape);
    }
  }
  std::printf("%s: %d ended, %d with calls, %d with text\n", c.dialect, ended, with_calls, with_text);
  EXPECT_GT(ended, 75);
  EXPECT_GT(with_calls, 3);
  if (!forced) {
    EXPECT_GT(with_text, 3);
  }
}

OutputShape object() { return {.kind = OutputShape::Kind::kJsonObject}; }
OutputShape person() { return {.kind = OutputShape::Kind::kJsonSchema, .schema = parsed(kPerson)}; }

const std::vector<std::string> kLlama3 = {"<|eot_id|>", "<|python_tag|>", "<|x|>"};
const std::vector<std::string> kLlama4 = {"<|eot|>", "<|python_start|>", "<|python_end|>"};
const std::vector<std::string> kHarmony = {"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>",
                                           "<|end|>",   "<|call|>",    "<|return|>",  "<|endoftext|>"};
const std::vector<std::string> kGemma4 = {"<|tool_call>", "<tool_call|>", "<|\"|>",
                                          "<|channel>",   "<channel|>",   "<end_of_turn>"};
const std::vector<std::string> kFunctionGemma = {"<start_function_call>", "<end_function_call>", "<escape>",
                                                 "<end_of_turn>"};
using Kind = ToolChoice::Kind;

INSTANTIATE_TEST_SUITE_P(Llama, Walks,
                         testing::Values(Case{"llama3", kLlama3, Kind::kRequired},
                                         Case{"llama3", kLlama3, Kind::kNamed, true},
                                         Case{"llama3", kLlama3, Kind::kAuto, true},
                                         Case{"llama3", kLlama3, Kind::kAuto, false, object()},
                                         Case{"llama3", kLlama3, Kind::kAuto, true, person()},
                                         Case{"llama4", kLlama4, Kind::kRequired},
                                         Case{"llama4", kLlama4, Kind::kAuto, true},
                                         Case{"llama4", kLlama4, Kind::kAuto, true, person()}));

INSTANTIATE_TEST_SUITE_P(
    Gemma, Walks,
    testing::Values(Case{"gemma", {"<end_of_turn>"}, Kind::kRequired},
                    Case{"gemma4", kGemma4, Kind::kRequired}, Case{"gemma4", kGemma4, Kind::kNamed, true},
                    Case{"gemma4", kGemma4, Kind::kAuto, true},
                    Case{"gemma4", kGemma4, Kind::kAuto, true, person()},
                    Case{"function-gemma", kFunctionGemma, Kind::kRequired, true},
                    Case{"function-gemma", kFunctionGemma, Kind::kAuto, true, object()}));

INSTANTIATE_TEST_SUITE_P(Harmony, Walks,
                         testing::Values(Case{"harmony", kHarmony, Kind::kRequired},
                                         Case{"harmony", kHarmony, Kind::kNamed, true, {}, 5},
                                         Case{"harmony", kHarmony, Kind::kAuto, true},
                                         Case{"harmony", kHarmony, Kind::kAuto, false, object(), 0},
                                         Case{"harmony", kHarmony, Kind::kAuto, true, person(), 20}));

}  // namespace
}  // namespace maestrale::chat
