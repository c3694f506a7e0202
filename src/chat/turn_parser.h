// From generated text, as it comes, to events. Wherever the text is cut, the events add up to the same.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/dialect.h"
#include "chat/event.h"

namespace maestrale::chat {

class TurnParser {
 public:
  virtual ~TurnParser() = default;
  virtual void push(std::string_view text, std::vector<Event>& out) = 0;
  // No more will come: everything held back is decided. What was no call after all becomes text.
  virtual void finish(std::vector<Event>& out) = 0;
};

// `dialect` outlives the parser.
std::unique_ptr<TurnParser> make_turn_parser(const Dialect& dialect, TurnStart start);

// A TurnParser fed with tokens: control tokens that the dialect uses are spelled out, others stay silent.
class TurnReader {
 public:
  TurnReader(const Dialect& dialect, const text::Tokenizer& tokenizer, TurnStart start)
      : dialect_(&dialect), tokenizer_(&tokenizer), parser_(make_turn_parser(dialect, start)) {}

  // `text`: what the token completes, as the engine's events have it.
  std::vector<Event> push(text::TokenId token, std::string_view text);
  // Text that belongs to no token: what the engine held back until the end.
  std::vector<Event> push(std::string_view text);
  std::vector<Event> finish();

 private:
  const Dialect* dialect_;
  const text::Tokenizer* tokenizer_;
  std::unique_ptr<TurnParser> parser_;
};

}  // namespace maestrale::chat
