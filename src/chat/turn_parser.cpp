#include "chat/turn_parser.h"

#include <algorithm>

#include "chat/harmony_parser.h"

namespace maestrale::chat {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;
constexpr std::string_view kBlanks = " \t\r\n";

// How many bytes at the end of `text` may be the beginning of `mark`.
std::size_t held_back(std::string_view text, std::string_view mark) {
  for (std::size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (mark.starts_with(text.substr(text.size() - length))) return length;
  }
  return 0;
}

class MarkParser final : public TurnParser {
 public:
  MarkParser(const Dialect& dialect, TurnStart start) : dialect_(dialect), fresh_(start != TurnStart::kText) {
    if (start == TurnStart::kReasoning && !dialect.reasoning.empty())
      open_reasoning(dialect.reasoning.front());
  }

  void push(std::string_view text, std::vector<Event>& out) override {
    rest_ += text;
    while (step(false, out)) {
    }
  }

  void finish(std::vector<Event>& out) override {
    while (step(true, out)) {
    }
  }

 private:
  // What begins at a place of the text.
  struct Found {
    std::size_t at = kNowhere;
    const ReasoningMarks* reasoning = nullptr;
    const CallTrigger* call = nullptr;
  };

  // One decision; false where more text is needed or nothing is left.
  bool step(bool at_end, std::vector<Event>& out) {
    if (reader_ != nullptr) return read_call(at_end, out);
    if (thinking_ != nullptr) return think(at_end, out);
    return rest_.empty() ? false : speak(at_end, out);
  }

  void consider(std::size_t at, Found candidate, Found& best) const {
    if (at >= best.at) return;
    best = candidate;
    best.at = at;
  }

  // The first mark in the text. `first`: the first byte that is no blank.
  Found find_mark(std::size_t first) const {
    Found best;
    const auto look = [&](std::string_view mark, bool anywhere, Found candidate) {
      if (anywhere) {
        consider(rest_.find(mark), candidate, best);
      } else if (fresh_ && std::string_view(rest_).substr(first).starts_with(mark)) {
        consider(first, candidate, best);
      }
    };
    for (const ReasoningMarks& marks : dialect_.reasoning)
      look(marks.open, marks.anywhere, {.reasoning = &marks});
    for (const CallTrigger& call : dialect_.calls) look(call.mark, call.anywhere, {.call = &call});
    return best;
  }

  // How much of the text's end may still become a mark.
  std::size_t undecided(std::size_t first) const {
    std::size_t held = 0;
    const auto look = [&](std::string_view mark, bool anywhere) {
      if (anywhere) {
        held = std::max(held, held_back(rest_, mark));
      } else if (fresh_ && mark.starts_with(std::string_view(rest_).substr(first))) {
        held = std::max(held, rest_.size() - first);
      }
    };
    for (const ReasoningMarks& marks : dialect_.reasoning) look(marks.open, marks.anywhere);
    for (const CallTrigger& call : dialect_.calls) look(call.mark, call.anywhere);
    return held;
  }

  bool speak(bool at_end, std::vector<Event>& out) {
    const std::size_t first = std::min(rest_.find_first_not_of(kBlanks), rest_.size());
    if (fresh_ && first == rest_.size() && !at_end) return false;
    const Found found = find_mark(first);
    if (found.at == kNowhere) {
      std::size_t keep = at_end ? 0 : undecided(first);
      if (fresh_ && rest_.size() - keep <= first && !at_end) keep = rest_.size();  // blanks wait
      if (keep == rest_.size()) return false;
      emit_text(rest_.size() - keep, out);
      return at_end;
    }
    if (found.at > first || (!fresh_ && found.at > 0)) {
      emit_text(found.at, out);
    } else {
      rest_.erase(0, found.at);
    }
    if (found.reasoning != nullptr) {
      rest_.erase(0, found.reasoning->open.size());
      open_reasoning(*found.reasoning);
    } else if (found.call->make == nullptr) {
      rest_.erase(0, found.call->mark.size());
      drop_blanks_ = fresh_ = true;
    } else {
      reader_ = found.call->make();
    }
    return true;
  }

  void emit_text(std::size_t bytes, std::vector<Event>& out) {
    std::string_view text = std::string_view(rest_).substr(0, bytes);
    if (drop_blanks_) text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    if (!text.empty()) {
      if (text.find_first_not_of(kBlanks) != kNowhere) drop_blanks_ = fresh_ = false;
      add_event(out, {.kind = Event::Kind::kText, .text = std::string(text)});
    }
    rest_.erase(0, bytes);
  }

  void open_reasoning(const ReasoningMarks& marks) {
    thinking_ = &marks;
    drop_blanks_ = true;
  }

  // Blanks at both ends of the thoughts are not part of them.
  bool think(bool at_end, std::vector<Event>& out) {
    const std::size_t close = rest_.find(thinking_->close);
    const std::size_t held = close != kNowhere || at_end ? 0 : held_back(rest_, thinking_->close);
    std::string_view thoughts = std::string_view(rest_).substr(0, std::min(close, rest_.size() - held));
    const std::size_t used = thoughts.size();
    if (drop_blanks_) thoughts.remove_prefix(std::min(thoughts.find_first_not_of(kBlanks), thoughts.size()));
    const std::size_t solid = thoughts.find_last_not_of(kBlanks) + 1;
    const std::size_t blanks = thoughts.size() - solid;
    if (solid > 0) {
      drop_blanks_ = false;
      add_event(out, {.kind = Event::Kind::kReasoning, .text = std::string(thoughts.substr(0, solid))});
    }
    if (close == kNowhere) {
      rest_.erase(0, at_end ? rest_.size() : drop_blanks_ ? used : used - blanks);
      return false;
    }
    rest_.erase(0, close + thinking_->close.size());
    thinking_ = nullptr;
    drop_blanks_ = fresh_ = true;
    return true;
  }

  bool read_call(bool at_end, std::vector<Event>& out) {
    Verdict verdict = reader_->read(rest_, at_end);
    if (verdict.kind == Verdict::Kind::kMore) return false;
    reader_ = nullptr;
    if (verdict.kind == Verdict::Kind::kText) {
      emit_text(verdict.bytes, out);
      return true;
    }
    for (const Call& call : verdict.calls) add_call(out, call);
    rest_.erase(0, verdict.bytes);
    drop_blanks_ = fresh_ = true;
    return true;
  }

  const Dialect& dialect_;
  std::string rest_;                          // not yet decided
  const ReasoningMarks* thinking_ = nullptr;  // inside thoughts that end with these
  std::unique_ptr<CallReader> reader_;        // inside what may be a call; rest_ begins with its mark
  bool fresh_;                                // no text yet, since the beginning or the last mark
  bool drop_blanks_ = false;                  // blanks here only separate
};

}  // namespace

std::unique_ptr<TurnParser> make_turn_parser(const Dialect& dialect, TurnStart start) {
  if (dialect.channels) return make_harmony_parser(start);
  return std::make_unique<MarkParser>(dialect, start);
}

std::vector<Event> TurnReader::push(std::string_view text) {
  std::vector<Event> out;
  parser_->push(text, out);
  return out;
}

std::vector<Event> TurnReader::push(text::TokenId token, std::string_view text) {
  std::vector<Event> out = push(text);
  if (tokenizer_->kind(token) != text::TokenKind::kControl) return out;
  const std::string_view spelling = tokenizer_->bytes(token);
  if (dialect_->uses(spelling)) parser_->push(spelling, out);
  return out;
}

std::vector<Event> TurnReader::finish() {
  std::vector<Event> out;
  parser_->finish(out);
  return out;
}

}  // namespace maestrale::chat
