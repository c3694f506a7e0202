// One syntax of tool calls: reads what follows the mark that may begin a call.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/event.h"

namespace maestrale::chat {

struct Verdict {
  enum class Kind { kMore, kCalls, kText };
  Kind kind = Kind::kMore;
  std::size_t bytes = 0;  // how many bytes the calls took, or are plain text after all
  std::vector<Call> calls = {};

  static Verdict more() { return {}; }
  static Verdict text(std::size_t bytes) { return {.kind = Kind::kText, .bytes = bytes}; }
  static Verdict done(std::size_t bytes, std::vector<Call> calls) {
    return {.kind = Kind::kCalls, .bytes = bytes, .calls = std::move(calls)};
  }
};

class CallReader {
 public:
  virtual ~CallReader() = default;
  // `bytes` begin with the mark and grow from call to call; what is decided depends on the bytes alone, not
  // on how they came. `at_end`: no more will come, so kMore is no answer.
  virtual Verdict read(std::string_view bytes, bool at_end) = 0;
};

using MakeCallReader = std::unique_ptr<CallReader> (*)();

// {"name": …, "arguments" or "parameters": {…}, "id": …}; nothing where it is no call.
std::optional<Call> call_from_json(std::string_view object);
// The calls of a JSON list, or of one object; empty where it is none.
std::vector<Call> calls_from_json(std::string_view text);
// name(key=literal, …), name.of.it(…), separated by commas or line feeds; empty where it is anything else.
std::vector<Call> calls_from_python(std::string_view text);

std::unique_ptr<CallReader> read_mistral_calls();   // [TOOL_CALLS]…
std::unique_ptr<CallReader> read_hermes_call();     // <tool_call>{…}</tool_call>, <function=…>
std::unique_ptr<CallReader> read_json_call();       // {"name": …} as the whole answer; ";" between calls
std::unique_ptr<CallReader> read_python_tag();      // <|python_tag|>…
std::unique_ptr<CallReader> read_python_calls();    // [f(a=1), g()]
std::unique_ptr<CallReader> read_deepseek_call();   // <｜tool▁call▁begin｜>…
std::unique_ptr<CallReader> read_dsml_call();       // <｜DSML｜invoke name="f">…
std::unique_ptr<CallReader> read_tool_code();       // ```tool_code
std::unique_ptr<CallReader> read_gemma_call();      // <|tool_call>call:f{…}<tool_call|>
std::unique_ptr<CallReader> read_function_gemma();  // <start_function_call>call:f{…}<end_function_call>

}  // namespace maestrale::chat
