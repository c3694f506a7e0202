// Mistral's formats: what conversations they can say.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "text/template/mistral.h"

namespace maestrale::text {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string at(std::size_t message) { return fmt::format("messages[{}]", message); }

Error bad(std::string what, std::string where, std::string expected, std::string found = {}) {
  return Error{.what = std::move(what),
               .where = std::move(where),
               .expected = std::move(expected),
               .found = std::move(found)};
}

Status check_name(const std::string& name, const std::string& where) {
  const bool good = !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return is_letter_or_digit(c) || c == '_' || c == '-';
  });
  if (good) return {};
  return bad("unusable function name", where, "1 to 64 letters, digits, _ or -", name);
}

Status check_id(const std::string& id, const std::string& where) {
  if (id.size() == 9 && std::all_of(id.begin(), id.end(), is_letter_or_digit)) return {};
  return bad("unusable tool call id", where, "nine letters or digits", id);
}

class Checker {
 public:
  Checker(const Conversation& conversation, const MistralRules& rules)
      : conversation_(conversation), messages_(conversation.messages), rules_(rules) {}

  Status run() {
    if (messages_.empty()) return bad("the conversation is empty", "messages", "at least one message");
    TRY(check_start_and_end());
    for (std::size_t i = 1; i < messages_.size(); ++i) TRY(check_order(i));
    TRY(check_results());
    for (std::size_t i = 0; i < messages_.size(); ++i) TRY(check_message(i));
    for (std::size_t i = 0; i < conversation_.tools.size(); ++i)
      TRY(check_name(conversation_.tools[i].name, fmt::format("tools[{}]", i)));
    if (!rules_.tools && !conversation_.tools.empty()) return no_tools("tools");
    if (!rules_.settings && !conversation_.reasoning_effort.empty()) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "this model has no setting for its reasoning effort",
                   .where = "reasoning_effort",
                   .found = conversation_.reasoning_effort};
    }
    return {};
  }

 private:
  Error no_tools(std::string where) const {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = fmt::format("Mistral's format v{} knows no tools", rules_.version),
                 .where = std::move(where)};
  }

  Status check_start_and_end() const {
    const Message& last = messages_.back();
    const std::string where = at(messages_.size() - 1);
    if (messages_.size() == 1 && last.role != Role::kUser && last.role != Role::kSystem && !goes_on(last)) {
      return bad("a conversation cannot begin like this", where, "a user or system message",
                 std::string(role_name(last.role)));
    }
    if (last.role == Role::kAssistant && !goes_on(last)) {
      return Error{.what = "there is nothing to answer",
                   .where = where,
                   .expected = "a user message or a tool's result at the end",
                   .found = "assistant",
                   .hint = "set prefix on it, or continue_final_message, to go on with it"};
    }
    if (conversation_.continue_final_message && (last.role != Role::kAssistant || last.prefix)) {
      return bad("continue_final_message has nothing to continue", where,
                 "an assistant message without prefix", std::string(role_name(last.role)));
    }
    return {};
  }

  bool goes_on(const Message& message) const {
    return message.role == Role::kAssistant && (message.prefix || conversation_.continue_final_message);
  }

  Status check_order(std::size_t i) const {
    const Role before = messages_[i - 1].role, now = messages_[i].role;
    const bool good = now == Role::kTool     ? before == Role::kAssistant || before == Role::kTool
                      : now == Role::kSystem ? before == Role::kSystem || before == Role::kUser
                                             : true;
    if (good) return {};
    return bad("messages in an order that the format does not know", at(i),
               fmt::format("no {} message after a {} message", role_name(now), role_name(before)));
  }

  // Every call needs its result before the next answer.
  Status check_results() const {
    std::set<std::string> expected, seen;
    std::ptrdiff_t open = 0;
    for (std::size_t i = 1; i < messages_.size(); ++i) {
      const Message& message = messages_[i];
      if (message.role == Role::kTool) {
        --open;
        if (!rules_.strict_ids) continue;
        const bool known = expected.contains(message.tool_call_id);
        if (!known || !seen.insert(message.tool_call_id).second)
          return bad(known ? "a call with two results" : "a result of no call", at(i),
                     "one result for each call", message.tool_call_id);
      } else if (message.role == Role::kAssistant) {
        TRY(check_open(open, i));
        open = static_cast<std::ptrdiff_t>(message.tool_calls.size());
        expected.clear();
        seen.clear();
        for (const ToolCall& call : message.tool_calls) {
          if (!expected.insert(call.id).second && rules_.strict_ids)
            return bad("two calls with one id", at(i), "different ids", call.id);
        }
      }
    }
    const bool ends_in_results = messages_.back().role == Role::kTool;
    return ends_in_results ? check_open(open, messages_.size()) : Status();
  }

  Status check_open(std::ptrdiff_t open, std::size_t i) const {
    if (open == 0) return {};
    return bad("not as many results as calls", at(i - 1), "one result for each call",
               fmt::format("{} {}", open < 0 ? -open : open, open < 0 ? "too many" : "missing"));
  }

  Status check_message(std::size_t i) const {
    const Message& message = messages_[i];
    for (const ContentPart& part : message.content) {
      if (part.kind != ContentPart::Kind::kThinking || may_think(message.role)) continue;
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = fmt::format("Mistral's format v{} knows no thinking here", rules_.version),
                   .where = at(i),
                   .found = std::string(role_name(message.role))};
    }
    if (message.role == Role::kAssistant) return check_answer(i);
    if (message.role != Role::kTool) return {};
    if (!rules_.tools) return no_tools(at(i));
    if (!message.name.empty()) TRY(check_name(message.name, at(i)));
    return rules_.call_ids ? check_id(message.tool_call_id, at(i)) : Status();
  }

  bool may_think(Role role) const {
    return rules_.thinking && (role == Role::kAssistant || (role == Role::kSystem && !rules_.settings));
  }

  Status check_answer(std::size_t i) const {
    const Message& message = messages_[i];
    if (message.content.empty() && message.tool_calls.empty())
      return bad("an answer without content", at(i), "content or tool_calls");
    if (!message.content.empty() && !message.tool_calls.empty() && !rules_.text_with_calls) {
      return Error{
          .kind = ErrorKind::kUnsupported,
          .what = fmt::format("Mistral's format v{} knows no answer with both content and tool_calls",
                              rules_.version),
          .where = at(i)};
    }
    if (message.prefix && i + 1 != messages_.size())
      return bad("only the last message can be a prefix", at(i), "prefix: false");
    if (!message.tool_calls.empty() && !rules_.tools) return no_tools(at(i));
    for (const ToolCall& call : message.tool_calls) {
      TRY(check_name(call.name, at(i)));
      const bool has_id = !call.id.empty() && call.id != "null";
      if (rules_.call_ids && (has_id || rules_.strict_ids)) TRY(check_id(call.id, at(i)));
    }
    return {};
  }

  const Conversation& conversation_;
  const std::vector<Message>& messages_;
  const MistralRules& rules_;
};

}  // namespace

Status check_mistral(const Conversation& conversation, const MistralRules& rules) {
  return Checker(conversation, rules).run();
}

}  // namespace maestrale::text
