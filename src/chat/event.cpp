#include "chat/event.h"

namespace maestrale::chat {

void add_event(std::vector<Event>& events, Event event) {
  const bool joins = event.kind == Event::Kind::kText || event.kind == Event::Kind::kReasoning ||
                     event.kind == Event::Kind::kCallArguments;
  if (joins && event.text.empty()) return;
  if (joins && !events.empty() && events.back().kind == event.kind) {
    events.back().text += event.text;
  } else {
    events.push_back(std::move(event));
  }
}

void add_call(std::vector<Event>& events, const Call& call) {
  events.push_back({.kind = Event::Kind::kCallStart, .text = call.name, .id = call.id});
  events.push_back({.kind = Event::Kind::kCallArguments, .text = call.arguments});
  events.push_back({.kind = Event::Kind::kCallEnd});
}

Turn turn_of(const std::vector<Event>& events) {
  Turn turn;
  for (const Event& event : events) {
    switch (event.kind) {
      case Event::Kind::kText:
        turn.text += event.text;
        break;
      case Event::Kind::kReasoning:
        turn.reasoning += event.text;
        break;
      case Event::Kind::kCallStart:
        turn.calls.push_back({.id = event.id, .name = event.text});
        break;
      case Event::Kind::kCallArguments:
        turn.calls.back().arguments += event.text;
        break;
      case Event::Kind::kCallEnd:
        break;
    }
  }
  return turn;
}

}  // namespace maestrale::chat
