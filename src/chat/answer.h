// The answer to one request as it comes: text, thoughts and calls told apart, the same for every API.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "chat/event.h"
#include "chat/turn_parser.h"
#include "engine/sampler/stop.h"
#include "engine/service.h"

namespace maestrale::chat {

struct TokenAlternative {
  text::TokenId token = 0;
  std::string bytes;  // as they stand in the text; may be part of a character
  float logprob = 0;  // natural log
};
struct TokenNote {
  TokenAlternative chosen;
  std::vector<TokenAlternative> top;  // likeliest first
};

// What one token brought; `events` is empty where its text is held back.
struct ChoiceDelta {
  std::vector<Event> events;
  std::optional<TokenNote> note;  // where log-probabilities were asked for
};

enum class End { kStop, kStopString, kLength, kCalls, kCancelled };
struct ChoiceDone {
  End end = End::kStop;
  std::string stop_string = {};  // kStopString
};

struct AnswerDone {
  engine::Usage usage;
  std::int64_t reasoning_tokens = 0;  // of all choices
  std::optional<Error> error = {};
};

struct AnswerEvent {
  int choice = 0;
  std::variant<ChoiceDelta, ChoiceDone, AnswerDone> what;  // AnswerDone comes once, last
};

struct AnswerOptions {
  const text::Tokenizer* tokenizer = nullptr;  // outlives the answer
  const Dialect* dialect = nullptr;            // null: everything is text
  TurnStart start = TurnStart::kNew;           // where the prompt ends
  bool reads_calls = false;                    // else what looks like a call is text
  bool parallel_calls = true;                  // else the first call ends the choice
  bool notes = false;                          // log-probabilities
  std::optional<text::TokenId> before = {};    // the prompt's last token, where its text is gone on with
  int choices = 1;
  std::int64_t prompt_tokens = 0;
  std::vector<std::string> stop = {};
};

class Answer {
 public:
  Answer(std::shared_ptr<engine::AnswerStream> stream, AnswerOptions options);
  ~Answer();
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  // The next event, if there is one; next() waits. Nothing after AnswerDone. One reader at a time.
  std::optional<AnswerEvent> try_next();
  std::optional<AnswerEvent> next();
  // As engine::AnswerStream::notify.
  void notify(std::function<void()> ready) { stream_->notify(std::move(ready)); }
  void cancel() { stream_->cancel(); }
  std::int64_t prompt_tokens() const { return options_.prompt_tokens; }

 private:
  struct Choice;
  void take(engine::ServiceEvent event);
  void take_token(int index, const engine::TokenEvent& token);
  void end_choice(int index, End end);
  std::vector<Event> sorted_out(Choice& choice, std::vector<Event> events) const;
  TokenNote note(const engine::TokenEvent& token) const;
  std::optional<AnswerEvent> pop();

  std::shared_ptr<engine::AnswerStream> stream_;
  AnswerOptions options_;
  std::vector<std::unique_ptr<Choice>> choices_;
  std::deque<AnswerEvent> ready_;
  std::int64_t reasoning_tokens_ = 0;
};

}  // namespace maestrale::chat
