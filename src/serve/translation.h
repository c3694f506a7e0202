// A dialect as a pure translation: JSON to a typed request, answers to JSON. No sockets, no engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "chat/answer.h"
#include "chat/request.h"

namespace maestrale::serve {

// What a writer needs to know besides the events.
struct AnswerFacts {
  std::string id;     // unique; without a prefix
  std::string model;  // as the client named it
  std::int64_t created_s = 0;
  std::int64_t prompt_tokens = 0;
  double load_s = 0;  // that the request waited for the model to be loaded
};

// One choice, put together.
struct CollectedChoice {
  std::string text, reasoning;
  std::vector<chat::Call> calls;
  std::vector<chat::TokenNote> notes;
  chat::ChoiceDone done;
};
struct Collected {
  std::vector<CollectedChoice> choices;
  chat::AnswerDone done;
};
void collect(Collected& into, chat::AnswerEvent event);

// Writes one answer, whole or in pieces; a new one for each request.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  virtual json::value whole(const AnswerFacts& facts, const Collected& answer) = 0;
  // Streaming: the bytes to send first, for each event, and after the last.
  virtual std::string begin(const AnswerFacts& facts) = 0;
  virtual std::string event(const AnswerFacts& facts, const chat::AnswerEvent& event) = 0;
  // Whether event() is to be called for answers that are not streamed, too; what it gives is dropped then.
  virtual bool sees_events() const { return false; }
  virtual std::string stream_type() const { return "text/event-stream"; }
  // Means nothing to a client, and shows that the stream is alive; empty: there is no such thing.
  virtual std::string sign_of_life() const { return ": keep-alive\n\n"; }
};

struct Translation {
  std::string model;
  std::variant<chat::ChatRequest, chat::TextRequest> request;
  bool stream = false;
  std::string id = {};     // of the answer, as AnswerFacts::id; empty: a new one
  std::string label = {};  // whom the client says it asks for; goes to the log
  // How long the model is to stay loaded after this, in seconds (kForever too); nothing: as the server likes.
  std::optional<double> keep_s = {};
  // The request wants nothing but the model loaded, or with a `keep_s` of 0 unloaded: what to answer then.
  std::function<json::value(const AnswerFacts& facts, bool unloaded)> only_load = {};
  std::unique_ptr<AnswerWriter> writer;

  chat::CommonRequest& common();
};

enum class DialectName { kOpenAi, kAnthropic, kOllama, kMistral };

// What is told of a failed request; `status` is HTTP's.
struct ApiError {
  int status = 400;
  std::string message = {};
  std::string field = {};  // empty: none
  double retry_s = 0;      // of 429 and 503: when to come again; 0: soon
};
ApiError api_error(const Error& error);
json::value error_json(DialectName dialect, const ApiError& error);

// What a request took, where `timings` asked for it: under "timings", with the names of llama.cpp's server,
// in milliseconds, and tokens of all choices together.
void put_timings(bool wanted, const engine::Usage& usage, json::object& out);

// One server-sent event, with a name where it is not empty.
std::string sse(const json::value& data, std::string_view event = {});
// 9 letters and digits, as every model's template takes them.
std::string new_call_id();
std::string new_id(std::size_t length);

}  // namespace maestrale::serve
