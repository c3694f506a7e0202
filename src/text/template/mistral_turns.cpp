// Mistral's formats: from messages as they come to the turns that are encoded.
#include <algorithm>
#include <limits>
#include <span>
#include <unordered_map>

#include "text/template/mistral.h"
#include "text/template/python_json.h"

namespace maestrale::text {
namespace {

constexpr std::string_view kBetweenMessages = "\n\n";

bool is_text(const ContentPart& part) { return part.kind == ContentPart::Kind::kText; }

// Joins neighbouring text, within a message and across messages; other parts stay apart.
std::vector<ContentPart> join(std::span<const Message> messages, std::string_view between_parts) {
  std::vector<ContentPart> parts;
  bool open = false;  // the last part is text that more text joins
  for (const Message& message : messages) {
    bool new_message = open;
    for (const ContentPart& part : message.content) {
      if (!is_text(part)) {
        parts.push_back(part);
        open = false;
        continue;
      }
      if (part.text.empty()) continue;
      if (open) {
        parts.back().text += std::string(new_message ? kBetweenMessages : between_parts) + part.text;
      } else {
        parts.push_back(part);
        open = true;
      }
      new_message = false;
    }
  }
  return parts;
}

std::string joined_text(const Message& message, std::string_view between_parts) {
  std::string text;
  for (const ContentPart& part : join({&message, 1}, between_parts)) text += part.text;
  return text;
}

std::string respelled(const std::string& text) {
  if (text.empty()) return "{}";
  return python_json_again(text).value_or(text);
}

class Turns {
 public:
  explicit Turns(const MistralRules& rules) : rules_(rules), between_parts_(rules.settings ? "" : "\n\n") {}

  MistralTurns run(const std::vector<Message>& messages) {
    for (std::size_t begin = 0; begin < messages.size();) {
      std::size_t end = begin + 1;
      while (end < messages.size() && messages[end].role == messages[begin].role) ++end;
      add(std::span(messages).subspan(begin, end - begin));
      begin = end;
    }
    const bool starts_well =
        !out_.messages.empty() && (rules_.system_turns || out_.messages.front().role == Role::kUser);
    if (!starts_well) out_.messages.insert(out_.messages.begin(), Message{.role = Role::kUser});
    return std::move(out_);
  }

 private:
  void add(std::span<const Message> group) {
    switch (group.front().role) {
      case Role::kSystem:
        add_system(group);
        break;
      case Role::kTool:
        add_results(group);
        call_ids_.clear();
        break;
      case Role::kUser:
        out_.messages.push_back({.role = Role::kUser, .content = join(group, between_parts_)});
        break;
      case Role::kAssistant:
        add_answer(group);
        break;
    }
  }

  void add_system(std::span<const Message> group) {
    for (const Message& message : group) {
      if (rules_.system_turns) {
        out_.messages.push_back({.role = Role::kSystem, .content = join({&message, 1}, between_parts_)});
      } else if (!message.content.empty()) {
        if (any_system_) out_.system += kBetweenMessages;
        out_.system += joined_text(message, between_parts_);
        any_system_ = true;
      }
    }
  }

  void add_answer(std::span<const Message> group) {
    Message answer{.role = Role::kAssistant, .content = join(group, between_parts_)};
    for (const Message& message : group) {
      for (ToolCall call : message.tool_calls) {
        call.arguments = respelled(call.arguments);
        call_ids_.push_back(call.id);
        answer.tool_calls.push_back(std::move(call));
      }
      answer.prefix |= message.prefix;
    }
    out_.messages.push_back(std::move(answer));
  }

  void add_results(std::span<const Message> group) {
    std::vector<Message> results;
    for (const Message& message : group) {
      std::string text = joined_text(message, between_parts_);
      if (rules_.json_results) text = respelled(text);
      results.push_back({.role = Role::kTool,
                         .content = {{.text = std::move(text)}},
                         .tool_call_id = message.tool_call_id,
                         .name = message.name});
    }
    if (rules_.strict_ids) sort_like_calls(results);
    std::move(results.begin(), results.end(), std::back_inserter(out_.messages));
  }

  void sort_like_calls(std::vector<Message>& results) const {
    std::unordered_map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < call_ids_.size(); ++i) places[call_ids_[i]] = i;
    const auto place = [&](const Message& message) {
      const auto found = places.find(message.tool_call_id);
      return found == places.end() ? std::numeric_limits<std::size_t>::max() : found->second;
    };
    std::stable_sort(results.begin(), results.end(),
                     [&](const Message& a, const Message& b) { return place(a) < place(b); });
  }

  const MistralRules& rules_;
  std::string_view between_parts_;
  MistralTurns out_;
  bool any_system_ = false;
  std::vector<std::string> call_ids_;  // of the calls since the last results
};

}  // namespace

MistralTurns mistral_turns(const Conversation& conversation, const MistralRules& rules) {
  return Turns(rules).run(conversation.messages);
}

}  // namespace maestrale::text
