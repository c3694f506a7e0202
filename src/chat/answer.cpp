#include "chat/answer.h"

#include <utility>

namespace maestrale::chat {

struct Answer::Choice {
  std::unique_ptr<TurnReader> reader;
  std::optional<text::StreamDecoder> decoder;  // where stop strings are to be told apart
  engine::StopMatcher stops;
  bool thinking = false;
  bool called = false;
  bool over = false;
};

Answer::Answer(std::shared_ptr<engine::AnswerStream> stream, AnswerOptions options)
    : stream_(std::move(stream)), options_(std::move(options)) {
  for (int i = 0; i < options_.choices; ++i) {
    auto choice = std::make_unique<Choice>();
    choice->thinking = options_.start == TurnStart::kReasoning;
    if (options_.dialect != nullptr) {
      choice->reader = std::make_unique<TurnReader>(*options_.dialect, *options_.tokenizer, options_.start);
    }
    if (!options_.stop.empty()) {
      auto stops = engine::StopMatcher::create(options_.stop, {});
      if (stops.ok()) choice->stops = std::move(stops).value();
      choice->decoder.emplace(*options_.tokenizer);
      if (options_.before) {
        (void)choice->decoder->push(*options_.before);
        (void)choice->decoder->flush();
      }
    }
    choices_.push_back(std::move(choice));
  }
}

Answer::~Answer() { stream_->cancel(); }

std::optional<AnswerEvent> Answer::pop() {
  if (ready_.empty()) return std::nullopt;
  AnswerEvent event = std::move(ready_.front());
  ready_.pop_front();
  return event;
}

std::optional<AnswerEvent> Answer::try_next() {
  while (ready_.empty()) {
    auto event = stream_->try_next();
    if (!event) return std::nullopt;
    take(*std::move(event));
  }
  return pop();
}

std::optional<AnswerEvent> Answer::next() {
  while (ready_.empty()) {
    auto event = stream_->next();
    if (!event) return std::nullopt;
    take(*std::move(event));
  }
  return pop();
}

TokenNote Answer::note(const engine::TokenEvent& token) const {
  const auto alternative = [this](text::TokenId id, float logprob) {
    return TokenAlternative{
        .token = id, .bytes = std::string(options_.tokenizer->bytes(id)), .logprob = logprob};
  };
  TokenNote out{.chosen = alternative(token.token, token.logprob), .top = {}};
  for (const auto& other : token.top_logprobs) out.top.push_back(alternative(other.token, other.logprob));
  return out;
}

// Calls that are none of this request's become text; what follows the only call that is wanted is dropped.
std::vector<Event> Answer::sorted_out(Choice& choice, std::vector<Event> events) const {
  std::vector<Event> out;
  for (Event& event : events) {
    const bool is_call = event.kind != Event::Kind::kText && event.kind != Event::Kind::kReasoning;
    if (choice.over) continue;
    if (event.kind == Event::Kind::kReasoning) choice.thinking = true;
    if (event.kind != Event::Kind::kReasoning) choice.thinking = false;
    if (is_call && !options_.reads_calls) {
      if (event.kind != Event::Kind::kCallArguments) continue;
      event = {.kind = Event::Kind::kText, .text = std::move(event.text)};
    }
    if (event.kind == Event::Kind::kCallEnd) {
      choice.called = true;
      if (!options_.parallel_calls) choice.over = true;
    }
    out.push_back(std::move(event));
  }
  return out;
}

void Answer::take_token(int index, const engine::TokenEvent& token) {
  Choice& choice = *choices_[static_cast<std::size_t>(index)];
  if (choice.over) return;
  if (choice.decoder && token.is_token) (void)choice.stops.push(choice.decoder->push(token.token));
  ChoiceDelta delta;
  if (choice.reader != nullptr) {
    delta.events = sorted_out(choice, token.is_token ? choice.reader->push(token.token, token.text)
                                                     : choice.reader->push(token.text));
  } else if (!token.text.empty()) {
    delta.events.push_back({.kind = Event::Kind::kText, .text = token.text});
  }
  reasoning_tokens_ += token.is_token && choice.thinking;
  if (options_.notes && token.is_token) delta.note = note(token);
  if (!delta.events.empty() || delta.note) ready_.push_back({.choice = index, .what = std::move(delta)});
  if (!choice.over) return;
  ready_.push_back({.choice = index, .what = ChoiceDone{.end = End::kCalls}});
  if (choices_.size() == 1) stream_->cancel();
}

void Answer::end_choice(int index, End end) {
  Choice& choice = *choices_[static_cast<std::size_t>(index)];
  if (choice.over) return;
  if (choice.reader != nullptr) {
    ChoiceDelta delta{.events = sorted_out(choice, choice.reader->finish()), .note = {}};
    if (!delta.events.empty()) ready_.push_back({.choice = index, .what = std::move(delta)});
  }
  choice.over = true;
  ChoiceDone done{.end = end};
  if (choice.called && (end == End::kStop || end == End::kStopString)) done.end = End::kCalls;
  if (done.end == End::kStopString) done.stop_string = choice.stops.stopped_by().value_or("");
  ready_.push_back({.choice = index, .what = std::move(done)});
}

void Answer::take(engine::ServiceEvent event) {
  if (const auto* token = std::get_if<engine::TokenEvent>(&event.what)) {
    take_token(event.choice, *token);
  } else if (const auto* end = std::get_if<engine::ChoiceEnd>(&event.what)) {
    switch (end->reason) {
      case engine::FinishReason::kStopToken:
        return end_choice(event.choice, End::kStop);
      case engine::FinishReason::kStopString:
        return end_choice(event.choice, End::kStopString);
      case engine::FinishReason::kLength:
      case engine::FinishReason::kContext:
        return end_choice(event.choice, End::kLength);
      case engine::FinishReason::kCancelled:
        return end_choice(event.choice, End::kCancelled);
    }
  } else if (auto* over = std::get_if<engine::RequestEnd>(&event.what)) {
    for (int i = 0; i < options_.choices; ++i) end_choice(i, End::kCancelled);
    ready_.push_back(
        {.choice = 0,
         .what = AnswerDone{
             .usage = over->usage, .reasoning_tokens = reasoning_tokens_, .error = std::move(over->error)}});
  }
}

}  // namespace maestrale::chat
