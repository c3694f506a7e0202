#include "chat/harmony_parser.h"

#include <algorithm>

#include "chat/json_scan.h"
#include "text/template/python_json.h"

namespace maestrale::chat {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;
constexpr std::string_view kStart = "<|start|>", kMessage = "<|message|>", kChannel = "<|channel|>",
                           kConstrain = "<|constrain|>", kFunctions = "functions.";
constexpr std::string_view kEnds[] = {"<|end|>", "<|call|>", "<|return|>", "<|start|>"};

struct Header {
  std::string channel, recipient;
};

std::string_view take_word(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_of(" \t\r\n<"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

// "assistant to=RECIPIENT<|channel|>CHANNEL to=RECIPIENT <|constrain|>json" in any order.
Header parse_header(std::string_view text) {
  Header header;
  while (!text.empty()) {
    if (text.starts_with(kChannel)) {
      text.remove_prefix(kChannel.size());
      header.channel = take_word(text);
    } else if (text.starts_with(kConstrain)) {
      text.remove_prefix(kConstrain.size());
      take_word(text);
    } else if (text.starts_with("to=")) {
      text.remove_prefix(3);
      header.recipient = take_word(text);
    } else if (take_word(text).empty()) {
      text.remove_prefix(1);
    }
  }
  return header;
}

class HarmonyParser final : public TurnParser {
 public:
  explicit HarmonyParser(TurnStart start) {
    if (start != TurnStart::kText) return;
    header_.channel = "final";
    state_ = State::kContent;
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
  enum class State { kHeader, kContent, kBetween };

  bool step(bool at_end, std::vector<Event>& out) {
    if (state_ == State::kContent) return content(at_end, out);
    return state_ == State::kHeader ? header(at_end, out) : between(at_end, out);
  }

  // Whether a header can begin like this; an answer may come without one.
  static bool may_be_header(std::string_view text) {
    for (const std::string_view start : {kChannel, kMessage, kConstrain, kStart, std::string_view("to=")}) {
      if (text.starts_with(start) || start.starts_with(text)) return true;
    }
    return false;
  }

  bool header(bool at_end, std::vector<Event>& out) {
    const std::size_t first = rest_.find_first_not_of(" \t\r\n");
    if (first == kNowhere) {
      if (at_end) rest_.clear();
      return false;
    }
    if (headless_ && !may_be_header(std::string_view(rest_).substr(first))) {
      header_ = {.channel = "final", .recipient = ""};
      state_ = State::kContent;
      return true;
    }
    const std::size_t message = rest_.find(kMessage);
    if (message == kNowhere) {
      if (!at_end) return false;
      add_event(out, {.kind = Event::Kind::kText, .text = rest_});  // cut short: nothing is lost
      rest_.clear();
      return false;
    }
    header_ = parse_header(std::string_view(rest_).substr(0, message));
    rest_.erase(0, message + kMessage.size());
    state_ = State::kContent;
    return true;
  }

  bool content(bool at_end, std::vector<Event>& out) {
    std::size_t end = kNowhere;
    std::size_t mark = 0, held = 0;
    for (const std::string_view candidate : kEnds) {
      const std::size_t at = rest_.find(candidate, is_call() ? searched_ : 0);
      if (at < end) {
        end = at;
        mark = candidate == kStart ? 0 : candidate.size();
      }
      for (std::size_t n = std::min(rest_.size(), candidate.size() - 1); n > held; --n) {
        if (candidate.starts_with(std::string_view(rest_).substr(rest_.size() - n))) held = n;
      }
    }
    if (end == kNowhere && !at_end) {
      searched_ = rest_.size() - held;
      if (is_call()) return false;
      say(searched_, out);
      searched_ = 0;
      return false;
    }
    const bool over = end == kNowhere;
    if (over) end = rest_.size();
    if (is_call()) {
      call(rest_.substr(0, end), out);
      rest_.erase(0, end);
    } else {
      say(end, out);
    }
    searched_ = 0;
    rest_.erase(0, mark);
    state_ = State::kBetween;
    return !over;
  }

  // After a message: nothing but the next one's start.
  bool between(bool at_end, std::vector<Event>& out) {
    const std::size_t start = rest_.find(kStart);
    if (start != kNowhere) {
      rest_.erase(0, start + kStart.size());
      state_ = State::kHeader;
      headless_ = false;
      return true;
    }
    if (at_end) {
      const std::string_view text = trim(rest_);
      if (!text.empty()) add_event(out, {.kind = Event::Kind::kText, .text = std::string(text)});
      rest_.clear();
    }
    return false;
  }

  bool is_call() const {
    return !header_.recipient.empty() && header_.recipient != "all" && header_.recipient != "user";
  }

  void say(std::size_t bytes, std::vector<Event>& out) {
    const auto kind = header_.channel == "analysis" ? Event::Kind::kReasoning : Event::Kind::kText;
    add_event(out, {.kind = kind, .text = rest_.substr(0, bytes)});
    rest_.erase(0, bytes);
  }

  void call(const std::string& body, std::vector<Event>& out) const {
    std::string name = header_.recipient;
    if (name.starts_with(kFunctions)) name.erase(0, kFunctions.size());
    const std::string_view arguments = trim(body);
    if (is_json_object(arguments)) {
      add_call(out, {.name = std::move(name), .arguments = std::string(arguments)});
    } else if (name == "python") {
      add_call(out, {.name = name, .arguments = "{\"code\": " + text::python_json_string(body) + "}"});
    } else {
      add_event(out, {.kind = Event::Kind::kText, .text = body});
    }
  }

  std::string rest_;
  State state_ = State::kHeader;
  Header header_;
  bool headless_ = true;      // only the first message can come without a header
  std::size_t searched_ = 0;  // no end mark begins before this byte of a call
};

}  // namespace

std::unique_ptr<TurnParser> make_harmony_parser(TurnStart start) {
  return std::make_unique<HarmonyParser>(start);
}

}  // namespace maestrale::chat
