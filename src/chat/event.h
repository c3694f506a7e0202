// What a model's turn is made of, whatever syntax the model writes it in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace maestrale::chat {

struct Event {
  enum class Kind { kText, kReasoning, kCallStart, kCallArguments, kCallEnd };
  Kind kind = Kind::kText;
  std::string text = {};  // kCallStart: the function's name; kCallArguments: a part of a JSON object
  std::string id = {};    // kCallStart: the call's id, where the model writes one
  bool operator==(const Event&) const = default;
};

struct Call {
  std::string id = {}, name = {};
  std::string arguments = {};  // a JSON object, as the model wrote it
};

// Appends, joining text to text and reasoning to reasoning.
void add_event(std::vector<Event>& events, Event event);
void add_call(std::vector<Event>& events, const Call& call);

// A finished turn, its events put together.
struct Turn {
  std::string text, reasoning;
  std::vector<Call> calls;
};
Turn turn_of(const std::vector<Event>& events);

}  // namespace maestrale::chat
