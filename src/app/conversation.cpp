#include "app/conversation.h"

#include <fmt/core.h>

#include <utility>

#include "app/session.h"
#include "base/file.h"

namespace maestrale::app {
namespace {

constexpr std::uint64_t kMaxTemplateBytes = 1u << 24;

Error bad_message(const std::string& where, std::size_t index, std::string expected) {
  return Error{.what = "unusable message",
               .where = fmt::format("{}: messages[{}]", where, index),
               .expected = std::move(expected)};
}

Status check_messages(const json::value& messages, const std::string& where) {
  if (!messages.is_array())
    return Error{.what = "no list of messages", .where = where, .expected = "messages: [...]"};
  const json::array& list = messages.get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json::object* message = list[i].if_object();
    if (message == nullptr) return bad_message(where, i, "an object");
    const json::value* role = message->if_contains("role");
    if (role == nullptr || !role->is_string()) return bad_message(where, i, "a role, such as \"user\"");
  }
  return {};
}

std::string spelling(const text::Tokenizer* tokenizer, std::optional<text::TokenId> token) {
  return tokenizer == nullptr || !token ? "" : std::string(tokenizer->bytes(*token));
}

void add_token_spellings(const text::Tokenizer* tokenizer, json::object& variables) {
  std::optional<text::TokenId> bos;
  std::optional<text::TokenId> eos;
  if (tokenizer != nullptr) {
    bos = tokenizer->bos();
    if (!tokenizer->end_tokens().empty()) eos = tokenizer->end_tokens().front();
  }
  if (!variables.contains("bos_token")) variables["bos_token"] = spelling(tokenizer, bos);
  if (!variables.contains("eos_token")) variables["eos_token"] = spelling(tokenizer, eos);
}

Status merge_extra(const json::value& extra, const std::string& where, json::object& variables) {
  if (extra.is_null()) return {};
  if (!extra.is_object())
    return Error{.what = "unusable field", .where = where + ": extra", .expected = "an object"};
  for (const auto& [key, value] : extra.get_object()) variables[key] = value;
  return {};
}

}  // namespace

Result<json::object> template_variables(const json::value& conversation, const text::Tokenizer* tokenizer,
                                        const std::string& where) {
  json::object variables{{"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", false}};
  if (const json::object* object = conversation.if_object()) {
    for (const auto& [key, value] : *object) {
      if (key == "extra") {
        TRY(merge_extra(value, where, variables));
      } else if (key == "messages" || key == "tools" || key == "documents" ||
                 key == "add_generation_prompt" || key == "continue_final_message" || key == "bos_token" ||
                 key == "eos_token") {
        variables[key] = value;
      } else {
        return Error{.what = "unknown field",
                     .where = where,
                     .expected =
                         "messages, tools, documents, add_generation_prompt, continue_final_message, "
                         "bos_token, eos_token or extra",
                     .found = std::string(key),
                     .hint = "further variables of the template belong into extra"};
      }
    }
  } else {
    variables["messages"] = conversation;
  }
  const json::value* messages = variables.if_contains("messages");
  TRY(check_messages(messages == nullptr ? json::value() : *messages, where));
  add_token_spellings(tokenizer, variables);
  return variables;
}

Result<Conversation> Conversation::create(const files::Checkpoint& checkpoint,
                                          const std::string& template_file) {
  const text::Tokenizer* tokenizer = TRY(tokenizer_of(checkpoint));
  const std::string where =
      template_file.empty() ? checkpoint.path.string() + ": chat template" : template_file;
  const std::string source =
      template_file.empty() ? std::string() : TRY(read_file(template_file, kMaxTemplateBytes));
  return Conversation(TRY(chat::PromptFormat::of(checkpoint, source, where)), *tokenizer);
}

void Conversation::add(std::string_view role, std::string_view content) {
  messages_.push_back(json::object{{"role", role}, {"content", content}});
}

void Conversation::set_system(std::string_view content) {
  const auto is_system = [](const json::value& message) { return message.at("role") == "system"; };
  if (!messages_.empty() && is_system(messages_.front())) messages_.erase(messages_.begin());
  if (content.empty()) return;
  messages_.insert(messages_.begin(), json::object{{"role", "system"}, {"content", content}});
}

void Conversation::clear() {
  const bool has_system = !messages_.empty() && messages_.front().at("role") == "system";
  shrink(has_system ? 1 : 0);
}

bool Conversation::undo() {
  for (std::size_t i = messages_.size(); i-- > 0;) {
    if (messages_[i].at("role") != "user") continue;
    shrink(i);
    return true;
  }
  return false;
}

void Conversation::shrink(std::size_t count) {
  while (messages_.size() > count) messages_.pop_back();
}

Status Conversation::replace(const json::value& conversation, const std::string& where) {
  const json::object* object = conversation.if_object();
  const json::value* messages = object == nullptr ? &conversation : object->if_contains("messages");
  TRY(check_messages(messages == nullptr ? json::value() : *messages, where));
  messages_ = messages->get_array();
  return {};
}

Result<text::Prompt> Conversation::prompt() const {
  json::object conversation{{"messages", messages_}, {"add_generation_prompt", true}};
  return format_.prompt(TRY(template_variables(conversation, tokenizer_, "conversation")));
}

}  // namespace maestrale::app
