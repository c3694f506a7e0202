#include "serve/dialects/openai_writer.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "serve/dialects/openai.h"

namespace maestrale::serve {

json::object openai_usage(const chat::AnswerDone& done) {
  const engine::Usage& usage = done.usage;
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", json::object{{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", json::object{{"reasoning_tokens", done.reasoning_tokens}}}};
}

std::string_view openai_finish(chat::End end) {
  switch (end) {
    case chat::End::kStop:
    case chat::End::kStopString:
      return "stop";
    case chat::End::kCalls:
      return "tool_calls";
    case chat::End::kLength:
    case chat::End::kCancelled:
      break;
  }
  return "length";
}

namespace {

// The last chunk of a stream, where something is to be said there.
std::string last_chunk(json::object frame, const chat::AnswerDone& done, const OpenAiWriterOptions& options) {
  std::string out;
  if (done.error) {
    out = sse(error_json(DialectName::kOpenAi, api_error(*done.error)));
  } else if (options.include_usage || options.timings) {
    frame["choices"] = json::array();
    if (options.include_usage) frame["usage"] = openai_usage(done);
    put_timings(options.timings, done.usage, frame);
    out = sse(frame);
  }
  return out + "data: [DONE]\n\n";
}

double finite(float logprob) { return std::isfinite(logprob) ? static_cast<double>(logprob) : -9999.0; }

json::object alternative_json(const chat::TokenAlternative& token) {
  json::array bytes;
  for (const char byte : token.bytes) bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token", replace_invalid_utf8(token.bytes)},
          {"logprob", finite(token.logprob)},
          {"bytes", std::move(bytes)}};
}

}  // namespace

json::object openai_logprob(const chat::TokenNote& note) {
  json::object out = alternative_json(note.chosen);
  json::array top;
  for (const chat::TokenAlternative& other : note.top) top.push_back(alternative_json(other));
  out["top_logprobs"] = std::move(top);
  return out;
}

namespace {

json::value chat_logprobs(const std::vector<chat::TokenNote>& notes) {
  if (notes.empty()) return nullptr;
  json::array content;
  for (const chat::TokenNote& note : notes) content.push_back(openai_logprob(note));
  return json::object{{"content", std::move(content)}, {"refusal", nullptr}};
}

json::object call_json(const chat::Call& call, std::size_t index) {
  return {{"id", call.id},
          {"type", "function"},
          {"index", index},
          {"function", json::object{{"name", call.name}, {"arguments", call.arguments}}}};
}

json::array thinking_part(const std::string& thoughts) {
  const json::object inner{{"type", "text"}, {"text", thoughts}};
  json::array list;
  list.push_back(inner);
  json::array parts;
  parts.push_back(json::object{{"type", "thinking"}, {"thinking", std::move(list)}});
  return parts;
}

class ChatWriter final : public AnswerWriter {
 public:
  explicit ChatWriter(OpenAiWriterOptions options) : options_(std::move(options)) {}

  json::value whole(const AnswerFacts& facts, const Collected& answer) override {
    json::array choices;
    for (std::size_t i = 0; i < answer.choices.size(); ++i)
      choices.push_back(choice_json(answer.choices[i], i));
    json::object out = frame(facts, "chat.completion");
    out["choices"] = std::move(choices);
    out["usage"] = openai_usage(answer.done);
    put_timings(options_.timings, answer.done.usage, out);
    return out;
  }

  std::string begin(const AnswerFacts&) override { return {}; }

  std::string event(const AnswerFacts& facts, const chat::AnswerEvent& event) override {
    if (const auto* done = std::get_if<chat::AnswerDone>(&event.what)) return last(facts, *done);
    State& state = state_of(event.choice);
    if (const auto* end = std::get_if<chat::ChoiceDone>(&event.what)) {
      std::string out = open(facts, event.choice, state);
      if (options_.thinking_parts) {
        ends_.emplace_back(event.choice, end->end);
        return out;
      }
      return out + chunk(facts, event.choice, json::object(), nullptr, json::value(openai_finish(end->end)));
    }
    const auto& delta = std::get<chat::ChoiceDelta>(event.what);
    std::string out = open(facts, event.choice, state);
    json::value logprobs;
    if (delta.note) logprobs = chat_logprobs({*delta.note});
    if (delta.events.empty())
      out += chunk(facts, event.choice, json::object{{"content", ""}}, logprobs, nullptr);
    for (const chat::Event& part : delta.events) {
      json::object piece = delta_json(part, state);
      if (piece.empty()) continue;
      out += chunk(facts, event.choice, std::move(piece), std::move(logprobs), nullptr);
      logprobs = nullptr;
    }
    return out;
  }

 private:
  struct State {
    bool opened = false;
    std::int64_t calls = 0;
  };

  State& state_of(int choice) {
    if (states_.size() <= static_cast<std::size_t>(choice))
      states_.resize(static_cast<std::size_t>(choice) + 1);
    return states_[static_cast<std::size_t>(choice)];
  }

  json::object frame(const AnswerFacts& facts, std::string_view object) const {
    return {{"id", "chatcmpl-" + facts.id},
            {"object", object},
            {"created", facts.created_s},
            {"model", facts.model},
            {"system_fingerprint", "maestrale"}};
  }

  json::object choice_json(const CollectedChoice& choice, std::size_t index) const {
    const std::string text = options_.echo + choice.text;
    json::object message{{"role", "assistant"}, {"content", text}, {"refusal", nullptr}};
    if (text.empty() && !choice.calls.empty()) message["content"] = nullptr;
    if (!choice.reasoning.empty()) {
      if (options_.thinking_parts) {
        json::array parts = thinking_part(choice.reasoning);
        parts.push_back(json::object{{"type", "text"}, {"text", text}});
        message["content"] = std::move(parts);
      } else {
        message["reasoning_content"] = choice.reasoning;
      }
    }
    if (!choice.calls.empty()) {
      json::array calls;
      for (std::size_t i = 0; i < choice.calls.size(); ++i) calls.push_back(call_json(choice.calls[i], i));
      message["tool_calls"] = std::move(calls);
    }
    return {{"index", index},
            {"message", std::move(message)},
            {"logprobs", chat_logprobs(choice.notes)},
            {"finish_reason", openai_finish(choice.done.end)}};
  }

  std::string chunk(const AnswerFacts& facts, int choice, json::object delta, json::value logprobs,
                    json::value finish, const chat::AnswerDone* done = nullptr) const {
    json::array choices;
    choices.push_back(json::object{{"index", choice},
                                   {"delta", std::move(delta)},
                                   {"logprobs", std::move(logprobs)},
                                   {"finish_reason", std::move(finish)}});
    json::object out = frame(facts, "chat.completion.chunk");
    out["choices"] = std::move(choices);
    if (done != nullptr) {
      out["usage"] = openai_usage(*done);
      put_timings(options_.timings, done->usage, out);
    } else if (options_.include_usage && !options_.thinking_parts) {
      out["usage"] = nullptr;
    }
    return sse(out);
  }

  std::string open(const AnswerFacts& facts, int choice, State& state) {
    if (std::exchange(state.opened, true)) return {};
    std::string out =
        chunk(facts, choice, json::object{{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
    if (!options_.echo.empty())
      out += chunk(facts, choice, json::object{{"content", options_.echo}}, nullptr, nullptr);
    return out;
  }

  json::object delta_json(const chat::Event& part, State& state) const {
    switch (part.kind) {
      case chat::Event::Kind::kText:
        return {{"content", part.text}};
      case chat::Event::Kind::kReasoning:
        if (options_.thinking_parts) return {{"content", thinking_part(part.text)}};
        return {{"reasoning_content", part.text}};
      case chat::Event::Kind::kCallStart: {
        const chat::Call call{.id = part.id.empty() ? new_call_id() : part.id, .name = part.text};
        json::array calls;
        calls.push_back(call_json(call, static_cast<std::size_t>(state.calls++)));
        return {{"tool_calls", std::move(calls)}};
      }
      case chat::Event::Kind::kCallArguments: {
        json::array calls;
        calls.push_back(
            json::object{{"index", state.calls - 1}, {"function", json::object{{"arguments", part.text}}}});
        return {{"tool_calls", std::move(calls)}};
      }
      case chat::Event::Kind::kCallEnd:
        break;
    }
    return {};
  }

  std::string last(const AnswerFacts& facts, const chat::AnswerDone& done) const {
    std::string out;
    if (options_.thinking_parts && !done.error) {
      // Mistral's clients want a choice in every chunk: the usage comes with the last end.
      for (std::size_t i = 0; i < ends_.size(); ++i) {
        out += chunk(facts, ends_[i].first, json::object(), nullptr,
                     json::value(openai_finish(ends_[i].second)), i + 1 == ends_.size() ? &done : nullptr);
      }
    }
    OpenAiWriterOptions rest = options_;
    if (options_.thinking_parts) rest.include_usage = rest.timings = false;
    return out + last_chunk(frame(facts, "chat.completion.chunk"), done, rest);
  }

  OpenAiWriterOptions options_;
  std::vector<State> states_;
  std::vector<std::pair<int, chat::End>> ends_;  // Mistral's: said last
};

class TextWriter final : public AnswerWriter {
 public:
  explicit TextWriter(OpenAiWriterOptions options) : options_(std::move(options)) {}

  json::value whole(const AnswerFacts& facts, const Collected& answer) override {
    json::array choices;
    for (std::size_t i = 0; i < answer.choices.size(); ++i) {
      const CollectedChoice& choice = answer.choices[i];
      choices.push_back(choice_json(static_cast<int>(i), options_.echo + choice.text, choice.notes, 0,
                                    json::value(openai_finish(choice.done.end))));
    }
    json::object out = frame(facts);
    out["choices"] = std::move(choices);
    out["usage"] = openai_usage(answer.done);
    put_timings(options_.timings, answer.done.usage, out);
    return out;
  }

  std::string begin(const AnswerFacts&) override { return {}; }

  std::string event(const AnswerFacts& facts, const chat::AnswerEvent& event) override {
    if (const auto* done = std::get_if<chat::AnswerDone>(&event.what))
      return last_chunk(frame(facts), *done, options_);
    const auto index = static_cast<std::size_t>(event.choice);
    if (offsets_.size() <= index) offsets_.resize(index + 1, kUnopened);
    std::string text;
    if (offsets_[index] == kUnopened) {
      text = options_.echo;
      offsets_[index] = 0;
    }
    if (const auto* end = std::get_if<chat::ChoiceDone>(&event.what))
      return chunk(facts, choice_json(event.choice, text, {}, 0, json::value(openai_finish(end->end))));
    const auto& delta = std::get<chat::ChoiceDelta>(event.what);
    for (const chat::Event& part : delta.events) text += part.text;
    std::vector<chat::TokenNote> notes;
    if (delta.note) notes.push_back(*delta.note);
    const std::size_t offset = offsets_[index];
    offsets_[index] += text.size();
    return chunk(facts, choice_json(event.choice, text, notes, offset, nullptr));
  }

 private:
  static constexpr std::size_t kUnopened = static_cast<std::size_t>(-1);

  json::object frame(const AnswerFacts& facts) const {
    return {{"id", "cmpl-" + facts.id},
            {"object", "text_completion"},
            {"created", facts.created_s},
            {"model", facts.model},
            {"system_fingerprint", "maestrale"}};
  }

  // {tokens, token_logprobs, top_logprobs, text_offset}
  static json::value logprobs_json(const std::vector<chat::TokenNote>& notes, std::size_t offset) {
    if (notes.empty()) return nullptr;
    json::array tokens, logprobs, tops, offsets;
    for (const chat::TokenNote& note : notes) {
      tokens.push_back(json::value(replace_invalid_utf8(note.chosen.bytes)));
      logprobs.push_back(finite(note.chosen.logprob));
      json::object top;
      for (const chat::TokenAlternative& other : note.top)
        top[replace_invalid_utf8(other.bytes)] = finite(other.logprob);
      tops.push_back(std::move(top));
      offsets.push_back(offset);
      offset += note.chosen.bytes.size();
    }
    return json::object{{"tokens", std::move(tokens)},
                        {"token_logprobs", std::move(logprobs)},
                        {"top_logprobs", std::move(tops)},
                        {"text_offset", std::move(offsets)}};
  }

  static json::object choice_json(int index, const std::string& text,
                                  const std::vector<chat::TokenNote>& notes, std::size_t offset,
                                  json::value finish) {
    return {{"index", index},
            {"text", text},
            {"logprobs", logprobs_json(notes, offset)},
            {"finish_reason", std::move(finish)}};
  }

  std::string chunk(const AnswerFacts& facts, json::object choice) const {
    json::object out = frame(facts);
    json::array choices;
    choices.push_back(std::move(choice));
    out["choices"] = std::move(choices);
    if (options_.include_usage) out["usage"] = nullptr;
    return sse(out);
  }

  OpenAiWriterOptions options_;
  std::vector<std::size_t> offsets_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_openai_chat_writer(OpenAiWriterOptions options) {
  return std::make_unique<ChatWriter>(std::move(options));
}

std::unique_ptr<AnswerWriter> make_openai_text_writer(OpenAiWriterOptions options) {
  return std::make_unique<TextWriter>(std::move(options));
}

}  // namespace maestrale::serve
